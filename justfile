# The menu of everything. Recipes are thin: what is longer than three lines lives in scripts/.

# List the recipes.
default:
    @just --list --unsorted

# Format, lints and the tests that need no other program.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets --features failpoints,lab -- -D warnings
    cargo test --locked --features failpoints,lab --lib --bins --test suite

# Everything, on a fresh machine too: installs what is missing.
test:
    scripts/test

# The whole loop on a plant of its own; arguments go to `flyball demo`.
demo *arguments:
    scripts/demo {{ arguments }}

# Accept the golden files as they are produced now; review the diff.
bless:
    INSTA_UPDATE=always cargo test --locked --features failpoints,lab --lib --bins --test suite
    git diff --stat

# Property tests with many more cases.
props cases="5000":
    PROPTEST_CASES={{ cases }} cargo test --locked --features failpoints,lab --lib --bins --test suite

# Mutate policy scripts for long; what fails is kept by proptest and belongs into tests/fuzz/corpus.
fuzz cases="200000":
    PROPTEST_CASES={{ cases }} cargo test --locked --features failpoints,lab --test suite -- mutated_scripts

# The tests against a real Prometheus.
lab:
    cargo test --locked --features failpoints,lab --test lab -- --skip cluster::

# The tests against a real Kubernetes API server; an argument is a filter.
cluster filter="":
    scripts/lab/test {{ filter }}

# A recorded load through the lab: record and picture in target/lab. `just play FILE --controller stock|flyball`
play *arguments:
    scripts/lab/play {{ arguments }}

# The container image `flyball:latest`, with whichever engine is here.
image tag="flyball:latest":
    $(command -v podman || command -v docker) build --file deploy/Containerfile --tag {{ tag }} \
        --build-arg FLYBALL_COMMIT="$(git rev-parse --short=12 HEAD)" .

# Licences, bans, sources and advisories of the dependencies.
deny:
    cargo deny --config .deny.toml check

# The documentation of the source; a broken link is an error.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Measure every figure (release build; minutes), only those named, as in `just score policy_decision_us`, those
# of the lab's cluster: `just score cluster`, or forecasts by others: `just score rivals DIRECTORY`.
score *ids:
    scripts/score {{ ids }}

# Put the figures of the last `target/scores/*.json` into README.md.
readme-scores:
    scripts/readme-scores
