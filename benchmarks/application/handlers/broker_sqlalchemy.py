"""SQLAlchemy on the broker: the engine and the decorator are all that differs."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from benchmarks.application.handlers import models
from benchmarks.application.handlers.timed import timed
from broker import Broker
from broker.sqlalchemy import create_engine

db = Broker.from_env()
engine = create_engine(db)


@timed
@db.handler
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""
    with Session(engine) as session, session.begin():
        return models.pay(session, event)


@timed
@db.handler
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    with Session(engine) as session:
        return models.look(session, event)
