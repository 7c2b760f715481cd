"""What is compared: each client's functions, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.stack import ACCOUNTS, Stack, Target
from broker.local.fleet import Function
from broker.local.launcher import DEFAULT_PRELOAD

ROOT = Path(__file__).parents[2]
PRELOAD = (
    *DEFAULT_PRELOAD,
    "broker.metrics",
    "broker.sqlalchemy",
    "psycopg_pool",
    "sqlalchemy.dialects.postgresql.pg8000",
    "sqlalchemy.orm",
)
"""What is imported once for all environments, where it is not their start that is measured."""
HANDLERS = "benchmarks.application.handlers"
TIMEOUT_S = 30.0  # as the role's statement_timeout, so that nothing has to ride
CONNECT_TIMEOUT_S = 5.0  # the broker's default; psycopg's pool is given the same


class Work(StrEnum):
    """What an invocation does."""

    WRITE = "write"  # one select, one insert, one update, in a transaction
    READ = "read"  # one select


@dataclass(frozen=True)
class Variant:
    """One client: the module that has both its handlers."""

    name: str
    module: str
    direct: bool = False

    def port(self, stack: Stack) -> int:
        """Return the port that it connects to."""
        return stack.postgres.port if self.direct else stack.pgbouncer.port

    def function(self, work: Work, port: int, **more: str) -> Function:
        """Return its function for this work, on the server at `port`, with `more` variables."""
        return function(f"{self.module}.{work}", port, **more)


PG8000_DIRECT = Variant("pg8000, direct", "bare_pg8000", direct=True)
PG8000 = Variant("pg8000", "bare_pg8000")
PSYCOPG = Variant("psycopg + pool", "pooled_psycopg")
SQLALCHEMY = Variant("SQLAlchemy + pg8000", "sqlalchemy_pg8000")
BROKER = Variant("broker", "broker_native")
BROKER_DBAPI = Variant("broker, DB-API", "broker_dbapi")
BROKER_SQLALCHEMY = Variant("broker, SQLAlchemy", "broker_sqlalchemy")
OURS = (BROKER, BROKER_DBAPI, BROKER_SQLALCHEMY)
VARIANTS = (PG8000_DIRECT, PG8000, PSYCOPG, SQLALCHEMY, *OURS)


def function(handler: str, port: int, **more: str) -> Function:
    """Return the function of this handler, with every client's variables for the same server."""
    target = Target(port)
    return Function(
        name=f"{handler.replace('.', '-')}-{port}",
        handler=f"{HANDLERS}.{handler}",
        code=ROOT,
        timeout_s=TIMEOUT_S,
        environment={
            "PGHOST": target.host,
            "PGPORT": str(port),
            "PGDATABASE": target.database,
            "PGUSER": target.user,
            "PGPASSWORD": target.password,
            "CONNECT_TIMEOUT_S": str(CONNECT_TIMEOUT_S),
            "BROKER_HOST": target.host,
            "BROKER_PORT": str(port),
            "BROKER_DATABASE": target.database,
            "BROKER_USER": target.user,
            "BROKER_PASSWORD": target.password,
            "BROKER_TLS": "off",
            **more,
        },
    )


def event(rng: Random) -> dict[str, Any]:
    """Return what one invocation is asked: a payment from some account, with a token of its own."""
    return {
        "account": rng.randint(1, ACCOUNTS),
        "amount": rng.randint(1, 9),
        "token": f"{rng.getrandbits(64):x}",
    }


def owner_of(account: int) -> str:
    """Return what the account's row says."""
    return f"owner {account}"


def is_right(asked: dict[str, Any], answer: Any) -> bool:
    """Tell whether the answer is about the account that was asked for."""
    account = asked["account"]
    return (answer.get("account"), answer.get("owner")) == (account, owner_of(account))
