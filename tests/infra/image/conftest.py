"""A database behind verified TLS, its plan and its secrets, and tasks in front of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from broker.local import certificates
from broker.local.postgres import Postgres
from broker.local.process import LOOPBACK
from broker.local.storm import LEDGER
from broker.plan import Plan, make_plan, parse
from tests.infra.image.container import Container, Secrets, Server

PLAN = """
[database]
engine = "postgresql"
max_connections = 100
[broker]
tasks = {tasks}
processes = {processes}
active_sessions = {active}
pairs = ["{name}/{name}"]
[[functions]]
name = "storm"
concurrency = {clients}
"""
numbers = itertools.count(1)


@dataclass(frozen=True)
class Site:
    """A database whose role has the plan's limit, and what its tasks need to know."""

    postgres: Postgres
    plan: Plan
    secrets: Secrets

    @property
    def server(self) -> Server:
        return Server(self.postgres.port, self.postgres.ca_file)

    @property
    def role(self) -> str:
        (pair,) = self.plan.deployment.middle.pairs
        return pair.user

    def tokens(self) -> list[str]:
        rows = self.postgres.admin("select token from ledger", database=self.role)
        return [str(row[0]) for row in rows]

    def backends(self, which: str = "true") -> int:
        sql = f"select count(*) from pg_stat_activity where usename = :role and {which}"
        return int(self.postgres.admin(sql, role=self.role)[0][0])


@pytest.fixture
def site(postgres_tls: Postgres) -> Iterator[Callable[..., Site]]:
    """Make a database that a plan of these numbers fits; it goes with the test."""
    made: list[str] = []

    def make(*, tasks: int = 1, processes: int = 1, active: int = 25, clients: int = 100) -> Site:
        name = f"image_{next(numbers)}"
        text = PLAN.format(
            tasks=tasks, processes=processes, active=active, name=name, clients=clients
        )
        plan = make_plan(parse(text))
        secrets = Secrets(
            plan=plan,
            server_password='the server\'s "own" \\ pass',
            client_password='the clients\' "own" \\ pass',
            certificate=certificates.issue(LOOPBACK, "localhost"),
        )
        limit = plan.whole(f"connection_limit.{name}")
        postgres_tls.create_role(name, secrets.server_password, connection_limit=limit)
        made.append(name)
        postgres_tls.create_database(name, owner=name)
        postgres_tls.admin(LEDGER, database=name)
        postgres_tls.admin(f"alter table ledger owner to {name}", database=name)
        return Site(postgres_tls, plan, secrets)

    yield make
    for name in made:
        postgres_tls.admin(f"drop database if exists {name} with (force)")
        postgres_tls.admin(f"drop role {name}")


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """Start tasks, which end with the test."""
    with ExitStack() as running:

        def started(site: Site, *, server: Server | None = None, **options: Any) -> Container:
            container = Container(site.plan, server or site.server, site.secrets, **options)
            return running.enter_context(container)

        yield started
