# All development commands. Recipes longer than three lines are in scripts/.

# List the recipes.
default:
    @just --list --unsorted

# Format, lints, and the tests that need no other program.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets --features failpoints,lab -- -D warnings
    cargo test --locked --features failpoints,lab --lib --bins --test suite

# All tests; installs what is missing, so it works on a fresh machine.
test:
    scripts/test

# The whole loop on simulated services; arguments are passed to `flyball demo`.
demo *arguments:
    scripts/demo {{ arguments }}

# Accept the golden files as produced now; review the diff.
bless:
    INSTA_UPDATE=always cargo test --locked --features failpoints,lab --lib --bins --test suite
    git diff --stat

# Property tests with many more cases.
props cases="5000":
    PROPTEST_CASES={{ cases }} cargo test --locked --features failpoints,lab --lib --bins --test suite

# Mutate policy scripts for a long time. Proptest keeps failures; add them to tests/fuzz/corpus.
fuzz cases="200000":
    PROPTEST_CASES={{ cases }} cargo test --locked --features failpoints,lab --test suite -- mutated_scripts

# The tests against a real Prometheus.
lab:
    cargo test --locked --features failpoints,lab --test lab -- --skip cluster::

# The tests against a real Kubernetes API server; an argument is a filter.
cluster filter="":
    scripts/lab/test {{ filter }}

# Play a recorded load through the lab; results in target/lab. `just play FILE --controller stock|flyball`
play *arguments:
    scripts/lab/play {{ arguments }}

# Build the container image `flyball:latest` with podman or docker.
image tag="flyball:latest":
    $(command -v podman || command -v docker) build --file deploy/Containerfile --tag {{ tag }} \
        --build-arg FLYBALL_COMMIT="$(git rev-parse --short=12 HEAD)" .

# Check licences, bans, sources and advisories of the dependencies.
deny:
    cargo deny --config .deny.toml check

# Build the source documentation; a broken link is an error.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Measure figures (release build; minutes): all, those named (`just score policy_decision_us`), those of the lab
# (`just score cluster`), or other forecasters (`just score rivals DIRECTORY`).
score *ids:
    scripts/score {{ ids }}

# Write the figures of `target/scores/*.json` to README.md.
readme-scores:
    scripts/readme-scores
