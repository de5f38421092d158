"""Loads a table of price agreements into PostgreSQL with dlt, twice; called by compare.sh.

Usage: table.py FILE DATABASE_URL ROWS. Prints rows per second: the pipeline's of the full load and of the reload, then
those of the whole processes, each by the faster of dlt's two ways into PostgreSQL: COPY of CSV, and ADBC. Each load is a
process of its own, as a nightly pull is.
"""

import subprocess
import sys
import time

# dlt's names of its ways: CSV by COPY, Parquet by ADBC.
WAYS = ["csv", "parquet"]

TEXTS = [
    "Regelnr", "Afspraaknr", "Soort klant", "Klantcode", "Soort artikel", "Artikelcode", "Soort afspraak", "Valuta",
    "Eenheid", "Vanaf aantal", "Geldig vanaf", "Geldig tot",
]


def load(path, database, rows, way):
    """One load; prints the seconds of the pipeline."""
    import dlt
    import pyarrow as pa
    import pyarrow.csv as csv

    import dlt_server

    types = {name: pa.string() for name in TEXTS} | {"Waarde": pa.decimal128(18, 4)}

    @dlt.resource(name="price_agreement", primary_key="Regelnr", write_disposition="merge")
    def agreements():
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(encoding="windows-1252", block_size=16 << 20),
            parse_options=csv.ParseOptions(delimiter=";"),
            convert_options=csv.ConvertOptions(column_types=types, decimal_point=","),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])

    begun = time.monotonic()
    pipeline = dlt_server.pipeline(f"by_{way}", database)
    pipeline.run(agreements(), loader_file_format=way).raise_on_failed_jobs()
    print(time.monotonic() - begun)
    dlt_server.expect(pipeline, rows)


def main():
    path, database, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if len(sys.argv) == 5:
        load(path, database, rows, sys.argv[4])
        return
    rates = []
    for way in WAYS:
        pipelines, processes = [], []
        for _ in range(2):
            begun = time.monotonic()
            done = subprocess.run([sys.executable, *sys.argv, way], stdout=subprocess.PIPE, text=True, check=True)
            processes.append(time.monotonic() - begun)
            pipelines.append(float(done.stdout.splitlines()[-1]))
        rates.append([rows / seconds for seconds in pipelines + processes])
        print(f"dlt by {way}: {rates[-1][0]:.0f} and {rates[-1][1]:.0f} rows/s", file=sys.stderr)
    print(*map(max, zip(*rates)))


main()
