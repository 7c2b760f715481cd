"""The server that a test session shares: PostgreSQL, and PgBouncer once a test goes through it."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self

import pg8000.native

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Flavour
from broker.testing.database import Database

ROLE = "app"
# As a plan gives its roles, and short enough for a capped fleet's lease (docs/cap.md).
ROLE_TIMEOUTS = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "transaction_timeout": "60s",
    "idle_session_timeout": "300s",
}
MOST_SESSIONS = "200"  # of many small pools, one for each database
MOST_SESSIONS_OF_A_POOL = "20"


class Server:
    """PostgreSQL and PgBouncer on loopback; `with` starts it and leaves nothing behind.

    Every database is the role `app`'s. PgBouncer runs in transaction mode and knows each of them
    by its name; it starts with the first use, so that who tests `direct` alone needs none.
    """

    def __init__(self) -> None:
        self.postgres = Postgres({"max_connections": MOST_SESSIONS})
        self.password = token_urlsafe()
        self._pooler: PgBouncer | None = None
        self._numbers = itertools.count(1)
        self._running = ExitStack()
        self._admin: Any = None

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.postgres)
            self.postgres.create_role(ROLE, self.password, settings=ROLE_TIMEOUTS)
            self._admin = self.postgres.connect()
            starting.callback(self._admin.close)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    @property
    def pgbouncer(self) -> PgBouncer:
        """The pooler, started if it is not running yet; ServerError where none is installed."""
        if self._pooler is None:
            config = {
                "databases": {"*": f"host={self.postgres.host} port={self.postgres.port}"},
                "pgbouncer": {
                    "default_pool_size": MOST_SESSIONS_OF_A_POOL,
                    "reserve_pool_size": "0",
                },
            }
            users = {ROLE: self.password}  # plain: PgBouncer logs in with it as well
            self._pooler = self._running.enter_context(PgBouncer(config, users))
        return self._pooler

    def port(self, flavour: Flavour) -> int:
        """Return the pooler's port, or the server's own."""
        return self.postgres.port if flavour is Flavour.DIRECT else self.pgbouncer.port

    def create_database(self, template: Database | None = None) -> Database:
        """Create a database: an empty one, or a copy of `template` with all that is in it."""
        name = f"test_{next(self._numbers)}"
        self._run(
            f"create database {name} owner {ROLE} template "
            + (pg8000.native.identifier(template.name) if template else "template1")
        )
        return Database(self, name, ROLE, self.password)

    def seal(self, template: Database) -> None:
        """End every session in it and let nobody in again: PostgreSQL copies none that is in use.

        PostgreSQL's manual, "CREATE DATABASE", TEMPLATE.
        """
        name = pg8000.native.identifier(template.name)
        self._run(f"alter database {name} allow_connections false")
        self._run(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = :name",
            name=template.name,
        )

    def drop_database(self, database: Database) -> None:
        """Drop it, and end the sessions in it."""
        self._run(f"drop database {pg8000.native.identifier(database.name)} with (force)")

    def open_transactions(self, database: Database, function: str) -> list[str]:
        """Return the last statement of each of the function's sessions that idle in one there."""
        rows = self._run(
            "select query from pg_stat_activity where datname = :name"
            " and split_part(application_name, ':', 1) = :function"
            " and state like 'idle in transaction%'",
            name=database.name,
            function=function,
        )
        return [row[0] for row in rows]

    def _run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        return list(self._admin.run(sql, **parameters) or ())
