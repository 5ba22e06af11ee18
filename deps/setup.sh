#!/usr/bin/env bash
# Set-up shared by ./run and ./test: brings in what is missing and builds. Sourced, not run. The
# caller has set $root to the checkout and works there. Everything here may be called again at any
# time and does nothing when there is nothing to do.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# need_packages NAME...: Debian packages. "a|b" is satisfied by either; the last one is installed.
need_packages() {
    local wanted name missing=()
    for wanted in "$@"; do
        for name in ${wanted//|/ }; do
            if package_is_installed "$name"; then continue 2; fi
        done
        missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi

    command -v apt-get >/dev/null || die "missing: ${missing[*]} (install them; this system has no apt-get)"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "missing: ${missing[*]} (run as root, or install sudo)"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    # Progress goes to a log; what apt has to say is shown when it fails.
    local log
    log=$(mktemp)
    if ! "${as_root[@]}" apt-get update -q >"$log" 2>&1 ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install ${missing[*]}"
    fi
    rm -f "$log"
}

package_is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# shellcheck disable=SC2034  # for the scripts that source this
build_packages=(gcc libc6-dev patch pkg-config meson ninja-build libuv1-dev liburing-dev libssl-dev
    libxxhash-dev uthash-dev libedit-dev libcurl4-openssl-dev "libllhttp-dev|node-llhttp")

# need_npm FOLDER: what FOLDER/package-lock.json pins, in FOLDER/node_modules. Install scripts stay
# off: nothing that comes this way runs at install time.
need_npm() {
    local folder=$1 stamp=$1/node_modules/.installed
    if [ -f "$stamp" ] && cmp -s "$folder/package-lock.json" "$stamp"; then return; fi
    # Any npm will do; Debian's is a big package, so only when there is none.
    command -v npm >/dev/null || need_packages npm
    say "fetching the packages of $folder/package-lock.json"
    local log
    log=$(mktemp)
    if ! npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
        # npm ends an error with its usage; what went wrong stands before that.
        grep -E '^npm (error|ERR!) .' "$log" | head -n 12 >&2 || tail -n 20 "$log" >&2
        rm -f "$log"
        die "npm could not fetch the packages of $folder"
    fi
    rm -f "$log"
    cp "$folder/package-lock.json" "$stamp"
}

# build_in FOLDER TARGET MESON-OPTION...: configures FOLDER when it is new or asked for differently,
# and compiles TARGET ("all" for everything).
build_in() {
    local folder=$1 target=$2
    shift 2
    local asked="$folder/.configured"
    mkdir -p "$folder/test-logs"
    local log=$folder/test-logs/build.log
    : >"$log"
    if [ ! -f "$folder/build.ninja" ]; then
        say "configuring $folder"
        meson setup "$folder" "$@" >>"$log" 2>&1 || build_failed "$log"
    elif [ "$(cat "$asked" 2>/dev/null)" != "$*" ]; then
        say "configuring $folder again"
        meson configure "$folder" "$@" >>"$log" 2>&1 || build_failed "$log"
    fi
    printf '%s' "$*" >"$asked"
    if ! ninja -C "$folder" -n "$target" 2>>"$log" | grep -q 'no work to do'; then
        say "building $folder (the first time takes a few minutes)"
        ninja -C "$folder" "$target" >>"$log" 2>&1 || build_failed "$log"
        if grep -q 'warning:' "$log"; then
            say "compiler warnings in $log"
        fi
    fi
}

build_failed() {
    grep -E -A12 'FAILED|ERROR:|error:' "$1" | head -n 60 >&2 || tail -n 30 "$1" >&2
    die "the build failed; all of it is in $1"
}
