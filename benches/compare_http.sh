#!/usr/bin/env bash
# The same pages of OData into PostgreSQL by dlt's REST source, merging on the primary key, and by Tradebridge: a full load, in rows
# per second, from one server that writes its pages before it is asked. dlt maps nothing; it has the fields as they are.
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
profile=${PROFILE:-release}
dlt_version=1.31.0

target=${CARGO_TARGET_DIR:-target}
venv=$target/bench-venv
work=$(mktemp -d "${TMPDIR:-/tmp}/tradebridge-compare-XXXXXX")
name=tradebridge_compare_$$
peer_name=${name}_dlt

# An address with another database.
database() {
    local address=${server%%\?*} parameters=""
    [ "$address" = "$server" ] || parameters="?${server#*\?}"
    local authority=${address#*://}
    printf '%s://%s/%s%s' "${address%%://*}" "${authority%%/*}" "$1" "$parameters"
}
sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$server" --command "$1" >/dev/null; }
pages=
cleanup() {
    # The server ends with its standard input.
    [ -z "$pages" ] || exec {pages}>&-
    sql "DROP DATABASE IF EXISTS $name WITH (FORCE)" || true
    sql "DROP DATABASE IF EXISTS $peer_name WITH (FORCE)" || true
    rm -rf "$work"
}

if ! "$venv/bin/python" -c "import importlib.metadata as m; assert m.version('dlt') == '$dlt_version'" 2>/dev/null; then
    echo "installing dlt $dlt_version from PyPI" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "dlt[postgres]==$dlt_version" pyarrow adbc-driver-postgresql
fi
# The benchmark is the server.
bench=$(cargo build --quiet --locked --profile "$profile" --bench http --bin tradebridge --message-format json |
    "$venv/bin/python" -c "import json, sys
built = [json.loads(line) for line in sys.stdin]
print([b['executable'] for b in built if b.get('target', {}).get('name') == 'http' and b.get('executable')][-1])")
directory=$profile
[ "$profile" != dev ] || directory=debug
program=$(realpath "$target/$directory/tradebridge")

trap cleanup EXIT
sql "CREATE DATABASE $name"
sql "CREATE DATABASE $peer_name"
store=${3:-$(database "$name")}

exec {pages}> >(exec "$bench" --serve "$rows" >"$work/address")
for _ in $(seq 600); do
    [ ! -s "$work/address" ] || break
    sleep 0.1
done
address=$(cat "$work/address")
[ -n "$address" ] || { echo "the server does not start" >&2; exit 1; }

peer=$(DLT_DATA_DIR="$work/dlt" RUNTIME__DLTHUB_TELEMETRY=false \
    "$venv/bin/python" benches/compare_http.py "$address" "$(database "$peer_name")" "$rows")

# Tradebridge, with the whole command counted: start, opening the store, pull.
cat >"$work/tradebridge.toml" <<EOF
demo = true
connectors = ["$PWD/benches/support/connectors"]
mappings = ["$PWD/benches/support/mappings"]
[store]
url = "$store"
[[connection]]
name = "erp"
connector = "bench-odata"
company = "NL01"
time_zone = "Europe/Amsterdam"
settings = { base_url = "$address" }
[[sync]]
connection = "erp"
entity = "price_agreement"
every = "1d"
EOF
chmod 600 "$work/tradebridge.toml"
begun=$(date +%s%N)
"$program" sync erp price_agreement --full --config "$work/tradebridge.toml" --output json >"$work/report.json" || {
    cat "$work/report.json" >&2
    exit 1
}
ended=$(date +%s%N)
ours=$("$venv/bin/python" - "$work/report.json" "$rows" $((ended - begun)) <<'EOF'
import json, sys
path, rows, nanoseconds = sys.argv[1:]
counts = json.load(open(path))[0]["run"]["counts"]
assert counts["created"] == int(rows), counts
print(int(rows) / (int(nanoseconds) / 1e9))
EOF
)

echo "$rows rows over HTTP; $(nproc) processors; PostgreSQL $(psql --no-psqlrc -At "$server" -c 'SHOW server_version'); rows/s"
awk -v a="$ours" -v b="$peer" 'BEGIN {
    format = "%-20s %12s %12s %8s %9s %s\n"
    printf format, "", "Tradebridge", "dlt, REST", "ratio", "target", "reached"
    printf format, "full load", int(a), int(b), sprintf("%.2f", a / b), ">= 5", (a >= 5 * b ? "yes" : "NO")
}'
