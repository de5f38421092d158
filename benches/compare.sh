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
cleanup() {
    sql "DROP DATABASE IF EXISTS $name WITH (FORCE)" || true
    sql "DROP DATABASE IF EXISTS $peer_name WITH (FORCE)" || true
    rm -rf "$work"
}

if ! "$venv/bin/python" -c "import importlib.metadata as m, pyarrow, adbc_driver_postgresql; assert m.version('dlt') == '$dlt_version'" 2>/dev/null; then
    echo "installing dlt $dlt_version from PyPI" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "dlt[postgres]==$dlt_version" pyarrow adbc-driver-postgresql
fi
# Builds the program too.
table=$(cargo bench --quiet --bench pull -- --rows "$rows" --data-only)
program=$(realpath "$target/release/tradebridge")

trap cleanup EXIT
sql "CREATE DATABASE $name"
sql "CREATE DATABASE $peer_name"
store=${3:-$(database "$name")}

# dlt, in a directory of its own for what it keeps between runs.
peer=$(DLT_DATA_DIR="$work/dlt" RUNTIME__DLTHUB_TELEMETRY=false \
    "$venv/bin/python" benches/compare.py "$table" "$(database "$peer_name")" "$rows")

# Tradebridge, with the whole command counted: start, opening the store, pull.
mkdir "$work/export"
cp "$table" "$work/export/prijsafspraken.csv"
cat >"$work/tradebridge.toml" <<EOF
demo = true
connectors = ["$PWD/benches/support/connectors"]
mappings = ["$PWD/benches/support/mappings"]
[store]
url = "$store"
[[connection]]
name = "erp"
connector = "bench-export"
company = "NL01"
time_zone = "Europe/Amsterdam"
settings = { directory = "$work/export" }
[[sync]]
connection = "erp"
entity = "price_agreement"
every = "1d"
EOF
chmod 600 "$work/tradebridge.toml"
pull() {
    local begun ended
    begun=$(date +%s%N)
    if ! "$program" sync erp price_agreement --full --config "$work/tradebridge.toml" --output json \
        >"$work/report.json"; then
        cat "$work/report.json" >&2
        return 1
    fi
    ended=$(date +%s%N)
    "$venv/bin/python" - "$work/report.json" "$1" "$rows" $((ended - begun)) <<'EOF'
import json, sys
path, counted, rows, nanoseconds = sys.argv[1:]
counts = json.load(open(path))[0]["run"]["counts"]
assert counts[counted] == int(rows), counts
print(int(rows) / (int(nanoseconds) / 1e9))
EOF
}
full=$(pull created)
again=$(pull unchanged)

read -r peer_full peer_again peer_full_whole peer_again_whole <<<"$peer"
echo "$rows rows; $(nproc) processors; PostgreSQL $(psql --no-psqlrc -At "$server" -c 'SHOW server_version'); rows/s"
awk -v a="$full" -v b="$peer_full" -v c="$again" -v d="$peer_again" 'BEGIN {
    format = "%-20s %12s %12s %8s %9s %s\n"
    printf format, "", "Tradebridge", "dlt, Arrow", "ratio", "target", "reached"
    printf format, "full load", int(a), int(b), sprintf("%.2f", a / b), "> 1", (a > b ? "yes" : "NO")
    printf format, "again, unchanged", int(c), int(d), sprintf("%.2f", c / d), ">= 5", (c >= 5 * d ? "yes" : "NO")
}'
echo "dlt: its pipeline alone is counted; with the start of Python and its imports it is $(printf '%.0f and %.0f' "$peer_full_whole" "$peer_again_whole")."
