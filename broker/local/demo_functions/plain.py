"""What most functions do: a plain pg8000 connection, kept in the module, one per environment."""

import os
from typing import Any

import pg8000.native

connection: Any = None


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Write a row and read it back."""
    global connection  # noqa: PLW0603  the idiom under test
    if connection is None:
        connection = pg8000.native.Connection(
            os.environ["PGUSER"],
            host=os.environ["PGHOST"],
            port=int(os.environ["PGPORT"]),
            password=os.environ["PGPASSWORD"],
            database=os.environ["PGDATABASE"],
            ssl_context=False,
        )
    connection.run("insert into ledger (token) values (:token)", token=event["token"])
    rows = connection.run("select token from ledger where token = :token", token=event["token"])
    return {"token": rows[0][0]}
