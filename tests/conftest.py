"""Real servers for every test that wants them.

- `postgres`: one PostgreSQL for the whole run. Leave it as you found it: no settings changed with
  ALTER SYSTEM, no role or database of somebody else's touched. A test that stops, kills or
  configures a server makes its own: `with Postgres({"max_connections": "20"}) as server:`.
- `postgres_tls`: the same, with TLS, and skipped where only the wheel's build is to be had.
- `database`: a new role that owns a new, empty database in it.
- `broker_to`: a function that makes a Broker on it, direct or through a pooler, with the settings
  given: `db = broker_to(pooler, max_sessions=2)`. It is closed with the test.
- `browser`: a headless Chromium; skipped where none is to be had.
- `pgbouncer`: a function that starts a PgBouncer in front of `database`, with the settings given:
  `pooler = pgbouncer(default_pool_size="2")`. It ends with the test.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pg8000.native
import pytest

from broker import Broker, Settings
from broker.local import binaries
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.process import ServerError
from broker.local.relay import Relay
from broker.local.relayed import Way
from broker.settings import Flavour, Tls
from tests.browser.chromium import chromium
from tests.wait import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["broker.testing"]
numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """An empty database, and the role that owns it."""

    server: Postgres
    name: str
    user: str
    password: str = field(repr=False)
    in_front: list[Callable[[set[int]], bool]] = field(default_factory=list)
    """For a pooler or a relay: whether it has heard that these backends have ended."""

    def connect(
        self, through: PgBouncer | None = None, *, port: int | None = None
    ) -> pg8000.native.Connection:
        """Open a plain pg8000 connection, direct, through a pooler, or to a port in front."""
        return pg8000.native.Connection(
            self.user,
            host=self.server.host,
            port=port or (through.port if through else self.server.port),
            password=self.password,
            database=self.name,
            ssl_context=False,
        )

    def settings(self, through: PgBouncer | None = None, **changes: Any) -> Settings:
        """Return the library's settings for it, direct or through a pooler, with `changes`."""
        given: dict[str, Any] = {
            "host": self.server.host,
            "port": through.port if through else self.server.port,
            "database": self.name,
            "user": self.user,
            "password": self.password,
            "flavour": Flavour.PGBOUNCER if through else Flavour.DIRECT,
            "tls": Tls.OFF,
        }
        return Settings(**{**given, **changes})

    def backends(self) -> int:
        """Return how many server sessions this role holds."""
        sql = "select count(*) from pg_stat_activity where usename = :role"
        return int(self.server.admin(sql, role=self.user)[0][0])

    def kill_backends(self) -> int:
        """End every server session of this role, and return how many there were.

        Whatever stands between has heard of it by then, as it has before the next invocation.
        """
        sql = """select pid, pg_terminate_backend(pid, 30000) from pg_stat_activity
                 where usename = :role"""
        ended = {int(row[0]) for row in self.server.admin(sql, role=self.user)}
        for has_heard in self.in_front:
            wait_until(partial(has_heard, ended), f"backends {ended} to be missed")
        return len(ended)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one PostgreSQL for the whole session."""
    with Postgres() as server:
        yield server


def need_postgres_tls() -> None:
    """Skip, saying why, where no PostgreSQL with TLS is to be had."""
    try:
        binaries.postgres_with_tls()
    except ServerError as error:
        if os.environ.get("CI"):  # a proof that is left out there is left out for good
            raise
        pytest.skip(str(error))


OLDER = (13, 14, 15, 16, 17)
"""The major versions that `make test` fetches; the wheel's, 18, is what all other tests run on."""


def need_postgres_of(major: int) -> None:
    """Skip, saying why, where this version is not to be had."""
    try:
        binaries.postgres_of(major)
    except ServerError as error:
        if os.environ.get("CI"):  # a proof that is left out there is left out for good
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_tls() -> Iterator[Postgres]:
    """Run one PostgreSQL that takes TLS alone."""
    need_postgres_tls()
    with Postgres(tls=True) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """Make a new role with a new, empty database."""
    name = f"test_{next(numbers)}"
    made = Database(postgres, name, user=name, password=f'pass"word \\ of {name}')
    postgres.create_role(made.user, made.password)
    postgres.create_database(made.name, owner=made.user)
    yield made
    postgres.admin(f"drop database {made.name} with (force)")
    postgres.admin(f"drop role {made.user}")


@pytest.fixture
def pgbouncer(database: Database) -> Iterator[Callable[..., PgBouncer]]:
    """Start PgBouncers in front of `database`, which end with the test."""
    with ExitStack() as running:

        def start(*, tls: bool = False, **settings: str) -> PgBouncer:
            config = {
                "databases": {database.name: database.server.conninfo(database.name)},
                "pgbouncer": settings,
            }
            users = {database.user: database.password}
            pooler = running.enter_context(PgBouncer(config, users, tls=tls))
            database.in_front.append(partial(has_let_go, pooler))
            return pooler

        yield start


def has_let_go(pooler: PgBouncer, backends: set[int]) -> bool:
    """Whether the pooler has no session at any of these; a pooler that was ended has none."""
    if not pooler.running:
        return True
    return backends.isdisjoint(int(each["remote_pid"]) for each in pooler.admin("show servers"))


@pytest.fixture
def broker_to(database: Database) -> Iterator[Callable[..., Broker]]:
    """Make brokers on `database`, direct or through a pooler; closed with the test."""
    with ExitStack() as made:

        def make(through: PgBouncer | None = None, **changes: object) -> Broker:
            return made.enter_context(Broker(database.settings(through, **changes)))

        yield make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a Chromium for the module; its event loop would be in the way of other modules' tests."""
    with chromium() as running:
        yield running


@pytest.fixture(params=["direct", "pgbouncer"])
def relay(
    request: pytest.FixtureRequest, database: Database, pgbouncer: Callable[..., PgBouncer]
) -> Iterator[Relay]:
    """Stand between the library and the server, or the pooler: one after the other."""
    port = pgbouncer().port if request.param == "pgbouncer" else database.server.port
    with Relay(port) as made:
        if request.param == "direct":
            database.in_front.append(
                lambda _: all(each.ended(Way.TO_CLIENT) for each in made.connections)
            )
        yield made
