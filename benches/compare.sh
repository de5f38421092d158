#!/usr/bin/env bash
# The same table of price agreements into PostgreSQL by dlt, with Arrow and merging on the primary key, and by Tradebridge:
# a full load and the same again unchanged, in rows per second. dlt maps nothing; it has the columns as they are, and the
# faster of its two ways counts.
#
#   ./benches/compare.sh [ROWS] [DATABASE_URL] [STORE_URL]
#
# ROWS is 1,000,000 by default, DATABASE_URL a server on this machine (postgres://postgres@127.0.0.1:5432/postgres) where
# databases may be made: two are made and dropped. STORE_URL, another store for Tradebridge, is for trying this out.
# Needs the Rust toolchain, PyPI, and Debian's python3-venv and postgresql-client.
set -euo pipefail
cd "$(dirname "$0")/.."

rows=${1:-1000000}
server=${2:-postgres://postgres@127.0.0.1:5432/postgres}
store=${3:-}
# shellcheck source=compare/both.sh
. benches/compare/both.sh

install_dlt
# Builds the program too.
table=$(cargo bench --quiet --bench pull -- --rows "$rows" --data-only)
program=$(realpath "$target/release/tradebridge")

trap remove_all EXIT
make_databases

read -r peer_full peer_again peer_full_whole peer_again_whole <<<"$(dlt table.py "$table" "$peer_store" "$rows")"

mkdir "$work/export"
cp "$table" "$work/export/prijsafspraken.csv"
configure bench-export "directory = \"$work/export\""
full=$(pull "$program" created)
again=$(pull "$program" unchanged)

print_table "dlt, Arrow" "$full" "$peer_full" 1 "$again" "$peer_again" 5
echo "dlt: its pipeline alone is counted; with the start of Python and its imports it is $(printf '%.0f and %.0f' "$peer_full_whole" "$peer_again_whole")."
