#!/usr/bin/env bash
# The same pages of OData into PostgreSQL by dlt's REST source, merging on the primary key, and by Tradebridge: a full load and
# the same again unchanged, in rows per second, from one server that writes its pages before it is asked. dlt maps nothing; it
# has the fields as they are.
#
#   ./benches/compare_http.sh [ROWS] [DATABASE_URL] [STORE_URL]
#
# ROWS is 200,000 by default, DATABASE_URL a server on this machine (postgres://postgres@127.0.0.1:5432/postgres) where
# databases may be made: two are made and dropped. STORE_URL, another store for Tradebridge, is for trying this out, and so is
# PROFILE=dev. Needs the Rust toolchain, PyPI, and Debian's python3-venv and postgresql-client.
set -euo pipefail
cd "$(dirname "$0")/.."

rows=${1:-200000}
server=${2:-postgres://postgres@127.0.0.1:5432/postgres}
store=${3:-}
profile=${PROFILE:-release}
# shellcheck source=compare/both.sh
. benches/compare/both.sh

install_dlt
# The benchmark is the server.
bench=$(cargo build --quiet --locked --profile "$profile" --bench http --bin tradebridge --message-format json |
    "$venv/bin/python" -c "import json, sys
built = [json.loads(line) for line in sys.stdin]
print([b['executable'] for b in built if b.get('target', {}).get('name') == 'http' and b.get('executable')][-1])")
directory=$profile
[ "$profile" != dev ] || directory=debug
program=$(realpath "$target/$directory/tradebridge")

pages=
clean_up() {
    # The server ends with its standard input.
    [ -z "$pages" ] || exec {pages}>&-
    remove_all
}
trap clean_up EXIT
make_databases

exec {pages}> >(exec "$bench" --serve "$rows" >"$work/address")
for _ in $(seq 600); do
    [ ! -s "$work/address" ] || break
    sleep 0.1
done
address=$(cat "$work/address")
[ -n "$address" ] || { echo "the server does not start" >&2; exit 1; }

read -r peer_full peer_again <<<"$(dlt pages.py "$address" "$peer_store" "$rows")"

configure bench-odata "base_url = \"$address\""
full=$(pull "$program" created)
again=$(pull "$program" unchanged)

print_table "dlt, REST" "$full" "$peer_full" 5 "$again" "$peer_again" 5
