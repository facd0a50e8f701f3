# Sourced by the other scripts: timed steps, and installation of what a fresh machine lacks.
# shellcheck shell=bash

summary=()
note=

# Runs a step: prints its name, records its time. A step may set `note` for the summary. The first step that
# fails ends the script.
step() {
    local name=$1 start=$SECONDS
    note=
    shift
    printf '\n==> %s\n' "$name"
    if "$@"; then
        summary+=("ok      $(printf '%4d s' $((SECONDS - start)))  $name${note:+: $note}")
    else
        summary+=("FAILED  $(printf '%4d s' $((SECONDS - start)))  $name")
        finish 1
    fi
}

# Prints the summary and exits with the given status.
finish() {
    printf '\n---- %s: %s after %d s ----\n' "${0##*/}" "$([ "$1" = 0 ] && echo passed || echo FAILED)" "$SECONDS"
    printf '%s\n' "${summary[@]}"
    exit "$1"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Installs missing commands with apt. Arguments are COMMAND:PACKAGE; repeat a command that needs several packages (a C
# compiler links nothing without the headers and start files of the C library).
need() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# A C compiler that links, and make.
need_c() {
    need cc:gcc cc:libc6-dev make:make
}

# Installs packages without starting any service, now or at the next boot.
apt_install() {
    local root=() guard=/usr/sbin/policy-rc.d
    command -v apt-get >/dev/null || die "apt-get not found; install these packages first: $*"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "run as root, or install these packages first: $*"
        root=(sudo)
    fi
    echo "installing with apt: $*"
    # A shell of its own, whose end removes the guard however it comes, Ctrl-C included: while it stands no package of
    # this machine starts a service.
    (
        if [ ! -e "$guard" ]; then
            trap '"${root[@]}" rm -f "$guard"' EXIT
            trap 'exit 129' HUP
            trap 'exit 130' INT
            trap 'exit 143' TERM
            printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$guard" >/dev/null &&
                "${root[@]}" chmod +x "$guard" || exit 1
        fi
        "${root[@]}" apt-get update -qq &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    ) || die "apt failed to install: $*"
    case " $* " in *" prometheus "*) "${root[@]}" systemctl disable prometheus >/dev/null 2>&1 || true ;; esac
}

# Checks the Rust toolchain against the oldest version that Cargo.toml names.
need_rust() {
    local wanted have
    command -v cargo >/dev/null || die "Rust is missing; install it from https://rustup.rs and run this again"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
        die "cargo is $have, flyball needs $wanted or newer; run: rustup update"
}

# Installs tools from PyPI into flyball's own virtual environment. Arguments are PACKAGE==VERSION.
need_tools() {
    local venv="${XDG_CACHE_HOME:-$HOME/.cache}/flyball/venv" package
    PATH="$venv/bin:$PATH"
    local missing=()
    for package in "$@"; do
        [ -e "$venv/$package" ] || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    echo "installing from PyPI into $venv: ${missing[*]}"
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" || return 1
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${missing[@]}" || return 1
    for package in "${missing[@]}"; do touch "$venv/$package"; done
}
