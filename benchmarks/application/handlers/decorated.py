"""What the decorator `db.handler` adds: the same handlers with it and without."""

from __future__ import annotations

from typing import Any

from benchmarks.application.handlers.timed import timed
from broker import Broker

db = Broker.from_env()


def _nothing(event: dict[str, Any], context: object) -> None:
    """Do nothing."""


def _read(event: dict[str, Any], context: object) -> str:
    """Run one statement."""
    return str(db.run("select owner from account where id = :id", id=event["account"]).scalar())


nothing, nothing_decorated = timed(_nothing), timed(db.handler(_nothing))
read, read_decorated = timed(_read), timed(db.handler(_read))
