"""The embedded stack: Postgres, PgBouncer with the reference's settings, a role and a database."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Flavour, Settings, Tls

DATABASE = "appdb"
ROLE = "app"
MAX_CONNECTIONS = 100  # PostgreSQL's default, and the reference's example
MAX_CLIENT_CONN = 2000
POOL_SIZE = 25
RESERVE_POOL_SIZE = 5
RESERVE_POOL_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 30  # the role's own, so that the deadline need not ride (broker/bound.py)


class Stack:
    """A small database behind a pooler, on loopback; `with` starts it and leaves nothing behind.

    `pgbouncer` overrides settings of pgbouncer.ini, `directory` keeps the data.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        pgbouncer: Mapping[str, str] | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.password = token_urlsafe()
        self.postgres = Postgres({"max_connections": str(max_connections)}, directory=directory)
        self._pgbouncer_settings = dict(pgbouncer or {})
        self._running = ExitStack()
        self.pgbouncer: PgBouncer

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.postgres)
            self._create_database()
            self.pgbouncer = starting.enter_context(self._pooler())
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def _create_database(self) -> None:
        postgres = self.postgres
        known = postgres.admin("select 1 from pg_roles where rolname = :role", role=ROLE)
        if not known:
            postgres.create_role(ROLE, self.password)
            postgres.create_database(DATABASE, owner=ROLE)
        else:  # a kept directory, whose password went with the last run
            postgres.set_password(ROLE, self.password)
        postgres.admin(f"alter role {ROLE} set statement_timeout = '{STATEMENT_TIMEOUT_S}s'")

    def _pooler(self) -> PgBouncer:
        settings = {
            "pool_mode": "transaction",
            "max_client_conn": str(MAX_CLIENT_CONN + 100),  # the consoles and a client too many
            "default_pool_size": str(POOL_SIZE),
            "reserve_pool_size": str(RESERVE_POOL_SIZE),
            "reserve_pool_timeout": str(RESERVE_POOL_TIMEOUT_S),
            "query_wait_timeout": "30",
            **self._pgbouncer_settings,
        }
        config = {
            "databases": {DATABASE: self.postgres.conninfo(DATABASE)},
            "pgbouncer": settings,
        }
        return PgBouncer(config, {ROLE: self._scram_secret()})

    def _scram_secret(self) -> str:
        """Return what the server keeps of the role's password, for PgBouncer to keep as well.

        With the plain password PgBouncer derives the secret anew at each login, which takes its
        one thread 3.5 ms: 2,000 clients that come at once then wait until they give up. With the
        secret itself a login takes it 0.1 ms, and it can still log in at the server with it.
        """
        sql = "select rolpassword from pg_authid where rolname = :role"
        return str(self.postgres.admin(sql, role=ROLE)[0][0])

    def settings(self, flavour: Flavour = Flavour.PGBOUNCER) -> Settings:
        """Return the library's settings for it: through the pooler, or direct."""
        return Settings(
            host=self.postgres.host,
            port=self.port(flavour),
            database=DATABASE,
            user=ROLE,
            password=self.password,
            flavour=flavour,
            tls=Tls.OFF,
        )

    def port(self, flavour: Flavour = Flavour.PGBOUNCER) -> int:
        """Return the pooler's port, or the server's own."""
        return self.postgres.port if flavour is Flavour.DIRECT else self.pgbouncer.port

    def variables(self, flavour: Flavour = Flavour.PGBOUNCER) -> dict[str, str]:
        """Return the BROKER_ variables that a handler needs."""
        return {
            "BROKER_HOST": self.postgres.host,
            "BROKER_PORT": str(self.port(flavour)),
            "BROKER_DATABASE": DATABASE,
            "BROKER_USER": ROLE,
            "BROKER_PASSWORD": self.password,
            "BROKER_FLAVOUR": flavour.value,
            "BROKER_TLS": Tls.OFF.value,
        }
