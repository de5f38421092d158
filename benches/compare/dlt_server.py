"""What both comparisons need of dlt: its way into a PostgreSQL server, and whether what is there is all of it."""

import sys
from urllib.parse import urlsplit, urlunsplit

import dlt


def pipeline(name, database):
    """A pipeline into a schema of its own. dlt insists on a password; a server that trusts this machine does not look at it."""
    address = urlsplit(database)
    if address.password is None:
        host = address.netloc.rpartition("@")[2]
        database = urlunsplit(address._replace(netloc=f"{address.username or 'postgres'}:none@{host}"))
    return dlt.pipeline(name, destination=dlt.destinations.postgres(credentials=database), dataset_name=name)


def expect(loaded, rows):
    """Ends with an error where the table has another number of rows."""
    with loaded.sql_client() as client, client.execute_query("SELECT count(*) FROM price_agreement") as cursor:
        found = cursor.fetchone()[0]
    if found != rows:
        sys.exit(f"dlt has {found} rows instead of {rows}")
