"""pg8000.native, a connection in each environment: forgotten after an error, opened when needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pg8000.native

from benchmarks.application.handlers.timed import timed

kept: list[pg8000.native.Connection] = []


def on_the_connection(work: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Do the work on the environment's connection."""
    if not kept:
        kept.append(
            pg8000.native.Connection(
                os.environ["PGUSER"],
                host=os.environ["PGHOST"],
                port=int(os.environ["PGPORT"]),
                password=os.environ["PGPASSWORD"],
                database=os.environ["PGDATABASE"],
                ssl_context=False,
            )
        )
    try:
        return work(kept[0])
    except Exception:
        with suppress(Exception):
            kept[0].close()
        kept.clear()
        raise


@timed
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""

    def pay(connection: Any) -> dict[str, Any]:
        run = connection.run
        run("begin")
        [[account, owner]] = run(
            "select id, owner from account where id = :id", id=event["account"]
        )
        [[payment]] = run(
            "insert into payment (token, account, amount) values (:token, :account, :amount)"
            " returning id",
            token=event["token"],
            account=account,
            amount=event["amount"],
        )
        run(
            "update account set balance = balance - :amount where id = :id",
            amount=event["amount"],
            id=account,
        )
        run("commit")
        return {"account": account, "owner": owner, "payment": payment}

    return on_the_connection(pay)


@timed
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""

    def look(connection: Any) -> dict[str, Any]:
        [[account, owner]] = connection.run(
            "select id, owner from account where id = :id", id=event["account"]
        )
        return {"account": account, "owner": owner}

    return on_the_connection(look)
