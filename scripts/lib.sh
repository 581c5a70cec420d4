# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the entry points share. Messages go to standard error, so that --json on standard output stays clean.
root=$(cd "$here/.." && pwd)

say() { printf 'hmmlab: %s\n' "$*" >&2; }

missing_packages() {
    local package probe why
    while read -r package probe why; do
        case $package in '' | \#*) continue ;; esac
        case $probe in
        /*) [ -e "$probe" ] && continue ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$probe" >/dev/null && continue ;;
        esac
        printf '%s\t%s\n' "$package" "$why"
    done <"$here/dependencies.txt"
}

# $1: yes installs what is missing, no only reports it and fails.
require_packages() {
    local missing names elevate=()
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    say "missing Debian packages:"
    printf '%s\n' "$missing" | while IFS=$'\t' read -r name why; do printf '    %-18s %s\n' "$name" "$why" >&2; done
    names=$(printf '%s\n' "$missing" | cut -f1)
    if [ "$1" = no ]; then
        # shellcheck disable=SC2086
        say "next: install them with: apt-get install" $names
        exit 69
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            # shellcheck disable=SC2086
            say "they cannot be installed: you are not root and there is no sudo. next: as root, apt-get install" $names
            exit 69
        fi
        elevate=(sudo -n)
    fi
    say "installing them"
    # shellcheck disable=SC2086
    if ! { "${elevate[@]}" apt-get -qq update && "${elevate[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install $names; } >&2; then
        say "the packages could not be installed; apt's own words stand above. next: install them yourself: apt-get install" $names
        exit 69
    fi
}

require_swift() {
    local version words
    if command -v swift >/dev/null && ! words=$(swift --version 2>&1); then
        say "the Swift compiler $(command -v swift) does not run: $(printf '%s\n' "$words" | head -n 1)"
        say "next: install what it lacks, as its toolchain's installation page for Debian 12 says"
        exit 69
    fi
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case ${version:-none} in
    none)
        say "there is no Swift compiler, and Debian 12 has none to install."
        say "next: unpack a Swift 6.2 or later toolchain for Debian 12 from the Swift project and put its usr/bin into PATH"
        exit 69
        ;;
    [0-5].* | 6.0 | 6.1)
        say "Swift $version is too old: 6.2 is needed for swift-subprocess 1.0. next: put a newer toolchain first in PATH"
        exit 69
        ;;
    esac
}

# Changes whenever a source file of the release build changes, appears or goes.
fingerprint() {
    (cd "$root" && find Package.swift Sources kernel-patches/abi -type f -printf '%p %T@ %s\n' | sort | sha256sum)
}

build_release() {
    local stamp=$root/.build/hmmlab-release.stamp now log
    now=$(fingerprint)
    [ -x "$root/.build/release/hmmlab" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && return 0
    require_swift
    say "building hmmlab (a few minutes the first time)"
    mkdir -p "$root/.build"
    log=$(mktemp "$root/.build/hmmlab-build.XXXXXX")
    if ! (cd "$root" && swift build -c release --static-swift-stdlib) >"$log" 2>&1; then
        mv "$log" "$root/.build/hmmlab-build.log"
        grep -F 'error:' "$root/.build/hmmlab-build.log" | head -n 40 >&2
        say "hmmlab itself does not build; the errors stand above, all of the compiler's words in .build/hmmlab-build.log"
        exit 69
    fi
    rm -f "$log"
    printf '%s' "$now" >"$stamp"
}
