"""psycopg 3 and its pool, one connection, looked at before each use, as its documentation has it.

Nothing is prepared on the server (`prepare_threshold=None`), because a pooler is in between.
"""

from __future__ import annotations

import os
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from benchmarks.application.handlers.timed import timed

pool = ConnectionPool(
    # libpq takes host, port, database, user and password from the PG variables
    "sslmode=disable",
    kwargs={"prepare_threshold": None},
    min_size=1,
    max_size=1,
    check=ConnectionPool.check_connection,
    timeout=float(os.environ["CONNECT_TIMEOUT_S"]),
    open=False,
)
pool.open()


def _account(connection: Connection[Any], event: dict[str, Any]) -> dict[str, Any]:
    sql = "select id, owner from account where id = %s"
    [[account, owner]] = connection.execute(sql, (event["account"],)).fetchall()
    return {"account": account, "owner": owner}


@timed
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""
    with pool.connection() as connection:
        answer = _account(connection, event)
        [[payment]] = connection.execute(
            "insert into payment (token, account, amount) values (%s, %s, %s) returning id",
            (event["token"], event["account"], event["amount"]),
        ).fetchall()
        connection.execute(
            "update account set balance = balance - %s where id = %s",
            (event["amount"], event["account"]),
        )
        return {**answer, "payment": payment}


@timed
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    with pool.connection() as connection:
        return _account(connection, event)
