"""A function that uses what the migrations made, and makes nothing itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker import Broker
from broker.sqlalchemy import create_engine

from .models import Customer

db = Broker.from_env()
engine = create_engine(db)


@db.handler
def handler(event: dict[str, Any], context: object) -> list[str]:
    """Add a customer, and return the names of all."""
    with Session(engine) as session, session.begin():
        session.add(Customer(**event))
        return list(session.scalars(select(Customer.name).order_by(Customer.id)))
