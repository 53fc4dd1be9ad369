# Sourced by every script: where caches are, how parts are installed, how steps are timed.
# shellcheck shell=bash
set -euo pipefail
[ "${BASH_VERSINFO[0]}" -ge 5 ] || { printf 'error: these scripts need bash 5 or newer; macOS: brew install bash\n' >&2; exit 1; }

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/synapse
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
MODEL_FILE=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL=$CACHE/models/$MODEL_FILE
mkdir -p "$CACHE" 2>/dev/null && [ -w "$CACHE" ] ||
    { printf "error: %s cannot be written, where models and builds are kept; set XDG_CACHE_HOME to a directory that can\n" "$CACHE" >&2; exit 1; }

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need COMMAND PACKAGE: makes sure that COMMAND exists; on Debian and Ubuntu by installing PACKAGE.
MISSING_PACKAGES=()
need() {
    command -v "$1" >/dev/null 2>&1 || MISSING_PACKAGES+=("$2")
}

# need_libclang: the same for the library that bindings are made with, wherever systems put it.
need_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    local place
    for place in '/usr/lib/llvm-*/lib/libclang.so*' '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' '/usr/lib*/libclang.so*' \
        '/usr/lib/*-linux-gnu/libclang-[0-9]*.so*' '/opt/homebrew/opt/llvm/lib/libclang.dylib' \
        '/Library/Developer/CommandLineTools/usr/lib/libclang.dylib'; do
        ! compgen -G "$place" >/dev/null || return 0
    done
    MISSING_PACKAGES+=(libclang-dev)
}

install_needed() {
    [ ${#MISSING_PACKAGES[@]} -eq 0 ] && return 0
    local packages="${MISSING_PACKAGES[*]}" sudo=()
    command -v apt-get >/dev/null 2>&1 ||
        die "these are missing: $packages (Debian's names); install what your system calls them (for libclang, or set LIBCLANG_PATH) and run this again"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || die "these packages are missing: $packages; install them as root: apt-get install $packages"
        sudo=(sudo)
    fi
    say "installing $packages"
    "${sudo[@]}" apt-get update -qq >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${MISSING_PACKAGES[@]}" >&2
    MISSING_PACKAGES=()
}

need_rust() {
    command -v cargo >/dev/null 2>&1 ||
        die "cargo is missing; install Rust 1.95 or newer with rustup and run this again"
}

# What building llama.cpp takes: a C++ compiler, cmake, and libclang for its bindings.
need_llama_toolchain() {
    need c++ g++
    need make make
    need cmake cmake
    need clang clang
    need_libclang
    install_needed
}

# The programs of a subnet's nodes, in one build with one set of features, as docs/guides/run-a-subnet.md says it.
build_nodes() {
    cargo build --locked --package devchain --package keys --package register --package custom_module \
        --package miner --package validator --features validator/llama
}

# wheel NAME VERSION DIR: downloads a wheel from the Python package index, and nothing it depends on.
wheel() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || MISSING_PACKAGES+=(python3-pip)
    install_needed
    python3 -m pip download --disable-pip-version-check --no-deps --quiet --dest "$3" "$1==$2" >&2
}

# step NAME COMMAND…: runs a step and remembers how long it took.
STEP_TIMES=()
step() {
    local name=$1 start=$SECONDS
    shift
    say ""
    say "=== $name"
    # Not `"$@" || …`: that would let every command of the step but its last one fail unseen.
    local status=0
    set +e
    (set -e; "$@")
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        say "=== $name FAILED after $((SECONDS - start)) s"
        step_times
        exit 1
    fi
    STEP_TIMES+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

step_times() {
    say ""
    printf '%s\n' "${STEP_TIMES[@]}" "$(printf '%5d s  in all' "$SECONDS")" >&2
}
