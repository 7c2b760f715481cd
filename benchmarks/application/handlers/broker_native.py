"""The broker's own face: `db.retry` and `db.read`."""

from __future__ import annotations

from typing import Any

from benchmarks.application.handlers.timed import timed
from broker import Broker, Transaction

db = Broker.from_env()


@timed
@db.handler
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""

    def pay(tx: Transaction) -> dict[str, Any]:
        account, owner = tx.run(
            "select id, owner from account where id = :id", id=event["account"]
        ).one()
        payment = tx.run(
            "insert into payment (token, account, amount) values (:token, :account, :amount)"
            " returning id",
            token=event["token"],
            account=account,
            amount=event["amount"],
        ).scalar()
        tx.run(
            "update account set balance = balance - :amount where id = :id",
            amount=event["amount"],
            id=account,
        )
        return {"account": account, "owner": owner, "payment": payment}

    return db.retry(pay)


@timed
@db.handler
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    account, owner = db.read(
        "select id, owner from account where id = :id", id=event["account"]
    ).one()
    return {"account": account, "owner": owner}
