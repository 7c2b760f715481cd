"""PEP 249 on the broker."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.application.handlers.timed import timed
from broker import Broker
from broker.dbapi import Connection, Cursor, begin, connect

db = Broker.from_env()


def _account(cursor: Cursor, event: dict[str, Any]) -> dict[str, Any]:
    cursor.execute("select id, owner from account where id = %s", (event["account"],))
    [[account, owner]] = cursor.fetchall()
    return {"account": account, "owner": owner}


@timed
@db.handler
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""

    def pay(connection: Connection) -> dict[str, Any]:
        cursor = connection.cursor()
        answer = _account(cursor, event)
        cursor.execute(
            "insert into payment (token, account, amount) values (%s, %s, %s) returning id",
            (event["token"], event["account"], event["amount"]),
        )
        [[payment]] = cursor.fetchall()
        cursor.execute(
            "update account set balance = balance - %s where id = %s",
            (event["amount"], event["account"]),
        )
        return {**answer, "payment": payment}

    return db.retry(pay, begin=partial(begin, db))


@timed
@db.handler
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    with connect(db) as connection:
        connection.autocommit = connection.read_only = True
        return _account(connection.cursor(), event)
