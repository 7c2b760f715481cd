"""A PostgreSQL as RDS has it: its administrator is no superuser, and rds_iam is there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from broker import Broker, Settings
from broker.local.postgres import Postgres
from broker.settings import Flavour, Tls
from lambdas.provisioner.server import Server

MASTER, PASSWORD = "master", "pass'word of \\ master"
numbers = itertools.count(1)


def make_like_rds(server: Postgres) -> None:
    """Create the administrator and what RDS gives it."""
    server.create_role(MASTER, PASSWORD, attributes="createrole createdb")
    for statement in (
        "create role rds_superuser",
        "create role rds_iam",
        "grant pg_monitor, pg_signal_backend, pg_use_reserved_connections, rds_iam "
        "to rds_superuser with admin option",
        f"grant rds_superuser to {MASTER}",
    ):
        server.admin(statement)


@dataclass
class Rds:
    """The server, and what a test needs of it."""

    server: Postgres
    secrets: dict[str, str] = field(default_factory=dict)

    def settings(self, database: str = "postgres", **changes: Any) -> Settings:
        given: dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "database": database,
            "user": MASTER,
            "password": PASSWORD,
            "flavour": Flavour.DIRECT,
            "tls": Tls.OFF,
        }
        return Settings(**{**given, **changes})

    def connected(self) -> Server:
        """Return the server as its administrator sees it."""
        return Server(lambda database: Broker(self.settings(database)))

    def secret(self, user: str, password: str) -> str:
        """Keep a secret, and return its ARN."""
        arn = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{user}-AbCdEf"
        self.secrets[arn] = json.dumps({"username": user, "password": password})
        return arn

    def properties(self, *roles: dict[str, Any], databases: list[str]) -> dict[str, Any]:
        """Return what a template gives."""
        return {
            "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:provisioner",
            "Host": self.server.host,
            "Port": str(self.server.port),
            "AdminSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:master-AbCdEf",
            "TlsCa": "off",
            "Databases": databases,
            "Roles": json.dumps(roles),
        }

    def log_in(self, user: str, password: str, database: str) -> Broker:
        return Broker(self.settings(database, user=user, password=password, timeout_s=10))


@pytest.fixture(scope="session")
def rds() -> Iterator[Rds]:
    with Postgres({"log_statement": "all", "reserved_connections": "2"}) as server:
        make_like_rds(server)
        yield Rds(server)


@pytest.fixture
def name() -> str:
    """Return a name that no other test has, and that must be quoted."""
    return f'Re"ally-Ödd {next(numbers)}'


@pytest.fixture
def fresh() -> Callable[[str], str]:
    return lambda word: f"{word}_{next(numbers)}"
