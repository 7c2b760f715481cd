"""The embedded stack: Postgres, PgBouncer as the plan renders it, a role and a database."""

from __future__ import annotations

from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

import scramp

from broker.errors import UsageError
from broker.local.demo_plan import demo_plan
from broker.local.pgbouncer import PgBouncer
from broker.local.pooler_files import Planned
from broker.local.postgres import Postgres
from broker.plan import Plan
from broker.plan.deployment import Flavour as PlannedFlavour
from broker.plan.deployment import Pair
from broker.settings import Flavour, Settings, Tls

ROLE_TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)


class Stack:
    """A small database behind a pooler, on loopback; `with` starts it and leaves nothing behind.

    `plan` decides every number of both, and has one pair; `directory` keeps the data. Clients of
    the pooler log in with a name and a password of their own, as they do in AWS.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.plan = plan or demo_plan()
        self.pair = _only_pair(self.plan)
        self.password = token_urlsafe()
        self.client_password = token_urlsafe()
        limit = str(self.plan.whole("max_connections"))
        self.postgres = Postgres({"max_connections": limit}, directory=directory)
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
        role = self.pair.user
        known = postgres.admin("select 1 from pg_roles where rolname = :role", role=role)
        if not known:
            postgres.create_role(role, self.password)
            postgres.create_database(self.pair.database, owner=role)
        else:  # a kept directory, whose password went with the last run
            postgres.set_password(role, self.password)
        timeouts = {name: f"{self.plan.whole(name)}s" for name in ROLE_TIMEOUTS}
        postgres.set_defaults(role, timeouts)

    def _pooler(self) -> PgBouncer:
        planned = Planned(self.plan, self.postgres.host, self.postgres.port)
        clients = {self.user(Flavour.PGBOUNCER): scram_secret(self.client_password)}
        return PgBouncer(planned, {**clients, self.pair.user: self.password})

    def user(self, flavour: Flavour) -> str:
        """Return the name to log in with: the pooler's clients have one of their own."""
        middle = self.plan.deployment.middle
        return self.pair.user if flavour is Flavour.DIRECT else middle.client(self.pair)

    def password_of(self, flavour: Flavour) -> str:
        """Return the password that goes with it."""
        return self.password if flavour is Flavour.DIRECT else self.client_password

    def settings(self, flavour: Flavour = Flavour.PGBOUNCER) -> Settings:
        """Return the library's settings for it: through the pooler, or direct."""
        return Settings(
            host=self.postgres.host,
            port=self.port(flavour),
            database=self.pair.database,
            user=self.user(flavour),
            password=self.password_of(flavour),
            flavour=flavour,
            tls=Tls.OFF,
        )

    def port(self, flavour: Flavour = Flavour.PGBOUNCER) -> int:
        """Return the pooler's port, or the server's own."""
        return self.postgres.port if flavour is Flavour.DIRECT else self.pgbouncer.port

    @property
    def dsn(self) -> str:
        """The administrator's way to PostgreSQL itself, for doctor, reap, measure and --check."""
        return f"{self.postgres.dsn()}?sslmode=disable"

    def variables(self, flavour: Flavour = Flavour.PGBOUNCER) -> dict[str, str]:
        """Return the BROKER_ variables that a handler needs."""
        return {
            "BROKER_HOST": self.postgres.host,
            "BROKER_PORT": str(self.port(flavour)),
            "BROKER_DATABASE": self.pair.database,
            "BROKER_USER": self.user(flavour),
            "BROKER_PASSWORD": self.password_of(flavour),
            "BROKER_FLAVOUR": flavour.value,
            "BROKER_TLS": Tls.OFF.value,
        }


def _only_pair(plan: Plan) -> Pair:
    """Return the plan's pair; UsageError for a plan that the stack cannot run."""
    middle, file = plan.deployment.middle, plan.deployment.file
    pair, *others = middle.pairs
    if others:
        raise UsageError(
            f"{file}: broker.pairs: the local stack runs one pair, not {1 + len(others)}: "
            f'for example pairs = ["{pair}"]'
        )
    if middle.flavour is not PlannedFlavour.PGBOUNCER:
        raise UsageError(
            f'{file}: broker.flavour = "{middle.flavour.value}": the local stack runs PgBouncer: '
            'set flavour = "pgbouncer"'
        )
    return pair


def scram_secret(password: str) -> str:
    """Return what a server keeps of a password (RFC 5803), for PgBouncer to keep as well.

    With the plain password PgBouncer derives it at each login, which takes its one thread 3.5 ms:
    2,000 clients that come at once then wait until they give up. With the secret a login takes it
    0.1 ms.
    """
    *parts, rounds = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(password)
    salt, stored, server = (b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256${rounds}:{salt}${stored}:{server}"
