"""Loads pages of OData into PostgreSQL with dlt's REST source; called by compare_http.sh.

Usage: compare_http.py ADDRESS DATABASE_URL ROWS. Prints rows per second of the pipeline alone, without the start of Python.
"""

import sys
import time
from urllib.parse import urlsplit, urlunsplit

import dlt
from dlt.sources.rest_api import rest_api_source


def with_password(database):
    """dlt insists on a password; a server that trusts this machine does not look at it."""
    address = urlsplit(database)
    if address.password is not None:
        return database
    host = address.netloc.rpartition("@")[2]
    return urlunsplit(address._replace(netloc=f"{address.username or 'postgres'}:none@{host}"))


def main():
    address, database, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    source = rest_api_source(
        {
            "client": {
                "base_url": address,
                # The links are relative to the page.
                "paginator": {"type": "json_link", "next_url_path": "['@odata.nextLink']"},
            },
            "resources": [
                {
                    "name": "price_agreement",
                    "primary_key": "Number",
                    "write_disposition": "merge",
                    "endpoint": {"path": "prices/0", "data_selector": "value"},
                }
            ],
        }
    )
    begun = time.monotonic()
    pipeline = dlt.pipeline(
        "pages",
        destination=dlt.destinations.postgres(credentials=with_password(database)),
        dataset_name="pages",
    )
    pipeline.run(source, loader_file_format="csv").raise_on_failed_jobs()
    seconds = time.monotonic() - begun
    with pipeline.sql_client() as client, client.execute_query("SELECT count(*) FROM price_agreement") as cursor:
        found = cursor.fetchone()[0]
    if found != rows:
        sys.exit(f"dlt has {found} rows instead of {rows}")
    print(rows / seconds)


main()
