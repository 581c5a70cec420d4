# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts that measure have in common; $scratch is their folder.

seconds() { # runs a command, prints its wall time
    local start end
    start=$(date +%s.%N)
    "$@" >"$scratch/out" 2>&1 || { cat "$scratch/out" >&2; say "failed: $*"; exit 1; }
    end=$(date +%s.%N)
    echo "$end $start" | awk '{ printf "%.2f", $1 - $2 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
row() { printf '%-44s %10s %10s %8s   %s\n' "$@"; }
ratio() { echo "$1 $2" | awk '{ printf "%.2f", $1 / $2 }'; }
field() { sed -n "s/.*\"$1\" : \"\([^\"]*\)\".*/\1/p" "$2" | head -n 1; }
