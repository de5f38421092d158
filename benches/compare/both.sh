# What both comparisons with dlt need: databases of their own, dlt itself, Tradebridge's pull, and the table of figures.
# Sourced in the project's directory; `rows`, `server`, and `store`, which may be empty, are set by then.

dlt_version=1.31.0

target=${CARGO_TARGET_DIR:-target}
venv=$target/bench-venv
work=$(mktemp -d "${TMPDIR:-/tmp}/tradebridge-compare-XXXXXX")
name=tradebridge_compare_$$

# An address with another database.
database() {
    local address=${server%%\?*} parameters=""
    [ "$address" = "$server" ] || parameters="?${server#*\?}"
    local authority=${address#*://}
    printf '%s://%s/%s%s' "${address%%://*}" "${authority%%/*}" "$1" "$parameters"
}
sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$server" --command "$1" >/dev/null; }
peer_store=$(database "${name}_dlt")

install_dlt() {
    if ! "$venv/bin/python" -c "import importlib.metadata as m, pyarrow, adbc_driver_postgresql; assert m.version('dlt') == '$dlt_version'" 2>/dev/null; then
        echo "installing dlt $dlt_version from PyPI" >&2
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "dlt[postgres]==$dlt_version" pyarrow adbc-driver-postgresql
    fi
}

make_databases() {
    sql "CREATE DATABASE $name"
    sql "CREATE DATABASE ${name}_dlt"
    store=${store:-$(database "$name")}
}

remove_all() {
    sql "DROP DATABASE IF EXISTS $name WITH (FORCE)" || true
    sql "DROP DATABASE IF EXISTS ${name}_dlt WITH (FORCE)" || true
    rm -rf "$work"
}

# Runs dlt, which gets a directory of its own for what it keeps between runs. Usage: dlt SCRIPT ARGUMENT...
dlt() {
    local script=$1
    shift
    DLT_DATA_DIR="$work/dlt" RUNTIME__DLTHUB_TELEMETRY=false "$venv/bin/python" "benches/compare/$script" "$@"
}

# Configures Tradebridge to pull the table. Usage: configure CONNECTOR SETTING
configure() {
    cat >"$work/tradebridge.toml" <<END
demo = true
connectors = ["$PWD/benches/support/connectors"]
mappings = ["$PWD/benches/support/mappings"]
[store]
url = "$store"
[[connection]]
name = "erp"
connector = "$1"
company = "NL01"
time_zone = "Europe/Amsterdam"
settings = { $2 }
[[sync]]
connection = "erp"
entity = "price_agreement"
every = "1d"
END
    chmod 600 "$work/tradebridge.toml"
}

# Rows a second of Tradebridge, with the whole command counted: start, opening the store, pull. Usage: pull PROGRAM COUNT,
# where COUNT is what every row is to be counted as.
pull() {
    local begun ended
    begun=$(date +%s%N)
    if ! "$1" sync erp price_agreement --full --config "$work/tradebridge.toml" --output json >"$work/report.json"; then
        cat "$work/report.json" >&2
        return 1
    fi
    ended=$(date +%s%N)
    "$venv/bin/python" - "$work/report.json" "$2" "$rows" $((ended - begun)) <<'END'
import json, sys
path, counted, rows, nanoseconds = sys.argv[1:]
counts = json.load(open(path))[0]["run"]["counts"]
assert counts[counted] == int(rows), counts
print(int(rows) / (int(nanoseconds) / 1e9))
END
}

# Prints figures and ratios. Usage: print_table PEER OURS THEIRS TARGET OURS_AGAIN THEIRS_AGAIN TARGET_AGAIN
print_table() {
    echo "$rows rows; $(nproc) processors; PostgreSQL $(psql --no-psqlrc -At "$server" -c 'SHOW server_version'); rows/s"
    awk -v peer="$1" -v a="$2" -v b="$3" -v t="$4" -v c="$5" -v d="$6" -v u="$7" 'BEGIN {
        format = "%-20s %12s %12s %8s %9s %s\n"
        printf format, "", "Tradebridge", peer, "ratio", "target", "reached"
        printf format, "full load", int(a), int(b), sprintf("%.2f", a / b), ">= " t, (a >= t * b ? "yes" : "NO")
        printf format, "again, unchanged", int(c), int(d), sprintf("%.2f", c / d), ">= " u, (c >= u * d ? "yes" : "NO")
    }'
}
