"""SQLAlchemy on the broker: the engine, the decorator, and who runs a lost transaction again."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from benchmarks.application.handlers import models
from benchmarks.application.handlers.timed import timed
from broker import Broker
from broker.sqlalchemy import create_engine

db = Broker.from_env()
engine = create_engine(db)
begin = sessionmaker(engine).begin
reading = engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True)


@timed
@db.handler
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""
    return db.retry(lambda session: models.pay(session, event), begin=begin)


@timed
@db.handler
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    with Session(reading) as session:
        return models.look(session, event)
