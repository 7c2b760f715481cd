"""SQLAlchemy on pg8000, one connection with pre-ping: how a Lambda function usually has it."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from benchmarks.application.handlers import models
from benchmarks.application.handlers.timed import timed

engine = create_engine(
    URL.create(
        "postgresql+pg8000",
        username=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"],
        host=os.environ["PGHOST"],
        port=int(os.environ["PGPORT"]),
        database=os.environ["PGDATABASE"],
    ),
    connect_args={"ssl_context": False},
    pool_size=1,
    max_overflow=0,
    pool_pre_ping=True,
)


@timed
def write(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Pay."""
    with Session(engine) as session, session.begin():
        return models.pay(session, event)


@timed
def read(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Say whose account it is."""
    with Session(engine) as session:
        return models.look(session, event)
