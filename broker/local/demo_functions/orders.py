"""The same with the broker."""

from typing import Any

from broker import Broker

db = Broker.from_env()


@db.handler
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Write a row and read it back, in one transaction."""
    with db.transaction() as tx:
        tx.run("insert into ledger (token) values (:token)", token=event["token"])
        row = tx.run("select token from ledger where token = :token", token=event["token"]).one()
    return {"token": row[0]}
