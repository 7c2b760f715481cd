"""Takes an order; `ConnectionBroker.connect` gave it all that `from_env` reads."""

from broker import Broker

db = Broker.from_env()


@db.handler
def handler(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001
    """Write the order, and return its number."""
    with db.transaction() as tx:
        tx.run(
            "create table if not exists orders (id bigint generated always as identity, sku text)"
        )
        made = tx.run("insert into orders (sku) values (:sku) returning id", sku=event["sku"])
    return {"order": made.scalar()}
