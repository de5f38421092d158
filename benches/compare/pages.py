"""Loads pages of OData into PostgreSQL with dlt's REST source, twice; called by compare_http.sh.

Usage: pages.py ADDRESS DATABASE_URL ROWS. Prints rows per second of the pipeline alone, without the start of Python: of the full load
and of the reload.
"""

import sys
import time

from dlt.sources.rest_api import rest_api_source

import dlt_server


def source(address):
    return rest_api_source(
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


def main():
    address, database, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rates = []
    for _ in range(2):
        begun = time.monotonic()
        pipeline = dlt_server.pipeline("pages", database)
        pipeline.run(source(address), loader_file_format="csv").raise_on_failed_jobs()
        rates.append(rows / (time.monotonic() - begun))
        dlt_server.expect(pipeline, rows)
    print(*rates)


main()
