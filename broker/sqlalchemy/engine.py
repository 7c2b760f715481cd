"""The engine: SQLAlchemy on a broker's sessions."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, NullPool
from sqlalchemy.dialects import registry

from broker import dbapi
from broker.broker import Broker
from broker.errors import UsageError

# The package's entry point says the same; a Lambda layer may come without it.
registry.register("postgresql.broker", "broker.sqlalchemy.dialect", "BrokerDialect")

_NOT_ITS_OWN = {
    "poolclass": "the broker pools the sessions",
    "pool": "the broker pools the sessions",
    "pool_size": "the broker pools the sessions: BROKER_MAX_SESSIONS",
    "max_overflow": "the broker pools the sessions: BROKER_MAX_SESSIONS",
    "pool_timeout": "a session is waited for until the deadline",
    "pool_recycle": "the broker replaces sessions: BROKER_LIFETIME_S",
    "pool_use_lifo": "the broker pools the sessions, last in first out",
    "pool_pre_ping": "the broker looks at a session before it is used, with no round trip",
    "creator": "the connections come from the broker",
    "connect_args": "connecting is the broker's: see its settings",
    "client_encoding": "it is always UTF-8",
}


def create_engine(db: Broker, **options: Any) -> Engine:
    """Return an engine whose connections borrow the broker's sessions; that does no I/O.

    `options` are those of sqlalchemy.create_engine; UsageError for those of its pool.
    """
    for name, why in _NOT_ITS_OWN.items():
        if name in options:
            raise UsageError(f"create_engine({name}=…): leave it out, {why}")
    settings = db.settings
    url = URL.create(
        "postgresql+broker",
        username=settings.user,
        host=settings.host,
        port=settings.port,
        database=settings.database,
    )
    return sqlalchemy.create_engine(
        url, creator=lambda: dbapi.connect(db), poolclass=NullPool, **options
    )
