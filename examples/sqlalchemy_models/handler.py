"""Place an order, pay it, show it: a unit of work each."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session, selectinload

from broker import Broker
from broker.sqlalchemy import create_engine

from .models import Base, Line, Order, Status

db = Broker.from_env()  # module scope: no I/O
engine = create_engine(db)  # nor here; no pool_size, no pre-ping: the broker sees to it


@db.handler
def place(event: dict[str, Any], context: object) -> int:
    """Write an order with its lines, and return its number: three flights, COMMIT included."""
    lines = [Line(sku=sku, quantity=quantity) for sku, quantity in event["lines"].items()]
    with Session(engine) as session, session.begin():
        order = Order(customer=event["customer"], lines=lines)
        session.add(order)
        session.flush()
        return order.id


@db.handler
def pay(event: dict[str, Any], context: object) -> str:
    """Pay it, unless it is paid: whoever comes at the same moment waits for the row."""
    with Session(engine) as session, session.begin():
        order = session.get_one(Order, event["id"], with_for_update={"of": Order})
        if order.status is Status.PAID:
            return f"it was paid by {order.details['method']}"
        order.status = Status.PAID
        order.details["method"] = event["method"]
        return "paid"


@db.handler
def show(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return an order with its lines, in a transaction that writes nothing."""
    with Session(engine) as session:
        session.connection(execution_options={"postgresql_readonly": True})
        order = session.get_one(Order, event["id"], options=[selectinload(Order.lines)])
        return {
            "customer": order.customer,
            "status": order.status.value,
            "details": order.details,
            "lines": {line.sku: line.quantity for line in order.lines},
        }


def setup(event: object, context: object) -> list[str]:
    """Create the tables, to try it; examples/alembic_migrations is for those that stay."""
    Base.metadata.create_all(engine)
    return list(Base.metadata.tables)
