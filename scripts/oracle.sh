#!/usr/bin/env bash
# Compares internal/sqlscan with PostgreSQL's own parser, as pg_query_go carries it. That module is
# one of its own because it needs cgo: the first run compiles for minutes.
#
#   scripts/oracle.sh [rounds]    texts made by chance; without a number, what the test takes itself
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh compiler
if [ $# -gt 0 ]; then
  export PENSTOCK_ORACLE_ROUNDS=$1
fi
cd integration/oracle
CGO_ENABLED=1 exec go test -count=1 -v ./...
