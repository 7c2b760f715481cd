"""Take money once for each key: the key is in the transaction that takes it."""

from __future__ import annotations

from typing import Any

from broker import Broker

db = Broker.from_env()

CLAIM = "insert into requests (key) values (:key) on conflict do nothing returning key"
ANSWER = "select balance from requests where key = :key"
TAKE = "update accounts set balance = balance - :amount where id = :account returning balance"
KEEP = "update requests set balance = :balance where key = :key"


@db.handler
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return the balance after the payment, and whether this invocation made it.

    A second caller with the same key waits at the claim until the first one's transaction ends:
    then it finds the answer, or the key is free again.
    """
    with db.transaction() as tx:
        if not tx.run(CLAIM, key=event["key"]):
            return {"balance": tx.run(ANSWER, key=event["key"]).scalar(), "new": False}
        balance = tx.run(TAKE, amount=event["amount"], account=event["account"]).scalar()
        tx.run(KEEP, balance=balance, key=event["key"])
    return {"balance": balance, "new": True}


def setup(event: object, context: object) -> str:
    """Create the tables, with an account to try it on."""
    db.run("create table if not exists accounts (id int primary key, balance int not null)")
    db.run(
        "create table if not exists requests"
        " (key text primary key, balance int, at timestamptz default now())"
    )
    db.run("insert into accounts values (1, 100) on conflict do nothing")
    return "created"
