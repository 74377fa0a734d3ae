#!/usr/bin/env bash
# Installs by Debian package name what is missing for the parts that are named:
#
#   postgres    a PostgreSQL server with psql, pgbench, initdb
#   pgbouncer   the peer of the benchmarks
#   drivers     psycopg2 and JDBC, for the driver smoke tests
#   compiler    a C compiler, which the race detector needs
#   sqlsmith    makes random queries for integration/soundness, which does without it too
#   npm         Node's package manager, for other PostgreSQL versions
#
# It asks no questions, does nothing where nothing is missing, and starts no service that stays:
# Penstock's tests and demo make their own throw-away clusters.
set -euo pipefail

usage() {
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "not root and no sudo; please run as root: $*"
    return 1
  fi
}

# The package lists are fetched at most once per run.
updated=no
install() {
  if ! command -v apt-get >/dev/null; then
    say "this is no Debian; please install what corresponds to: $*"
    return 1
  fi
  if [ "$updated" = no ]; then
    as_root apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
    updated=yes
  fi
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# postgres_bindir prints the folder of the newest installed server, as internal/pgtest finds it.
postgres_bindir() {
  local dir
  if command -v postgres >/dev/null && command -v initdb >/dev/null; then
    dirname "$(readlink -f "$(command -v postgres)")"
    return
  fi
  for dir in "$(pg_config --bindir 2>/dev/null || true)" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
    if [ -n "$dir" ] && [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ]; then
      echo "$dir"
      return
    fi
  done
  return 1
}

setup_postgres() {
  local bindir
  if ! bindir=$(postgres_bindir) || ! [ -x "$bindir/pgbench" ] || ! command -v psql >/dev/null; then
    # Without this word, installing the server makes and starts a cluster "main".
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' |
      as_root tee /etc/postgresql-common/createcluster.d/penstock.conf >/dev/null
    install postgresql postgresql-client postgresql-contrib
    bindir=$(postgres_bindir)
  fi
  say "PostgreSQL: $("$bindir/postgres" --version) in $bindir"
}

setup_pgbouncer() {
  if ! [ -x /usr/sbin/pgbouncer ] && ! command -v pgbouncer >/dev/null; then
    install pgbouncer
    # Where systemd runs, the package starts a service on port 6432. (Where nothing runs, as in a
    # container, invoke-rc.d refuses to start anything.)
    if [ -d /run/systemd/system ]; then
      as_root systemctl disable --now --quiet pgbouncer
    fi
  fi
  say "$(PATH=$PATH:/usr/sbin pgbouncer --version | head -n 1)"
}

setup_drivers() {
  local packages=()
  # The tests call Debian's Python by its full path: another python3 in PATH has its own packages.
  /usr/bin/python3 -c 'import psycopg2' 2>/dev/null || packages+=(python3-psycopg2)
  # `java Smoke.java` needs the compiler, which a runtime alone does not have.
  command -v javac >/dev/null || packages+=(default-jdk-headless)
  [ -e /usr/share/java/postgresql.jar ] || packages+=(libpostgresql-jdbc-java)
  if [ ${#packages[@]} -gt 0 ]; then
    install "${packages[@]}"
  fi
  say "drivers: psycopg2 $(/usr/bin/python3 -c 'import psycopg2; print(psycopg2.__version__.split()[0])')," \
    "JDBC $(readlink -f /usr/share/java/postgresql.jar) with $(javac -version 2>&1)"
}

setup_compiler() {
  if ! command -v gcc >/dev/null || ! [ -e /usr/include/stdlib.h ]; then
    install gcc libc6-dev
  fi
}

# Not every Debian has it; its tests say so and go on.
setup_sqlsmith() {
  command -v sqlsmith >/dev/null || install sqlsmith || say "sqlsmith cannot be installed here; going on without it"
}

setup_npm() {
  command -v npm >/dev/null || install npm
}

if [ $# -eq 0 ]; then
  usage
  exit 2
fi
for part in "$@"; do
  case $part in
    postgres | pgbouncer | drivers | compiler | sqlsmith | npm) "setup_$part" ;;
    *)
      usage
      exit 2
      ;;
  esac
done
