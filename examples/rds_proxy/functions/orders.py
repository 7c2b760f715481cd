"""Writes the orders of a queue."""

from broker import Broker

db = Broker.from_env()


@db.handler
def handler(event: dict[str, list[dict[str, str]]], context: object) -> None:  # noqa: ARG001
    """Write all of a batch, or none; a second delivery changes nothing."""
    with db.transaction() as tx:
        tx.run("create table if not exists orders (message text primary key, sku text)")
        tx.run_many(
            "insert into orders (message, sku) values (:message, :sku) on conflict do nothing",
            [{"message": each["messageId"], "sku": each["body"]} for each in event["Records"]],
        )
