"""Real servers for every test that wants them.

- `postgres`: one PostgreSQL for the whole run. Leave it as you found it: no settings changed with
  ALTER SYSTEM, no role or database of somebody else's touched. A test that stops, kills or
  configures a server makes its own: `with Postgres({"max_connections": "20"}) as server:`.
- `database`: a new role that owns a new, empty database in it.
- `pgbouncer`: a function that starts a PgBouncer in front of `database`, with the settings given:
  `pooler = pgbouncer(default_pool_size="2")`. It ends with the test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pg8000.native
import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres

numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """An empty database, and the role that owns it."""

    server: Postgres
    name: str
    user: str
    password: str = field(repr=False)

    def connect(self, through: PgBouncer | None = None) -> pg8000.native.Connection:
        """Open a plain pg8000 connection, direct or through a pooler."""
        return pg8000.native.Connection(
            self.user,
            host=self.server.host,
            port=through.port if through else self.server.port,
            password=self.password,
            database=self.name,
            ssl_context=False,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one PostgreSQL for the whole session."""
    with Postgres() as server:
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
            return running.enter_context(PgBouncer(config, users, tls=tls))

        yield start
