#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the time given (default 20s each).
# Go fuzzes one target of one package per command, hence the loop.
set -euo pipefail

time=${1:-20s}
listing=$(go test -list '^Fuzz' ./...)

# `go test -list` prints a package's targets, then the package: "FuzzA", "FuzzB", "ok  path  0.01s".
targets=()
failed=()
count=0
while read -r first second _; do
  case $first in
    Fuzz*) targets+=("$first") ;;
    ok)
      for target in "${targets[@]}"; do
        echo "== $second $target"
        count=$((count + 1))
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$second" || failed+=("$second $target")
      done
      targets=()
      ;;
  esac
done <<<"$listing"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo "$count fuzz targets, $time each, all fine"
