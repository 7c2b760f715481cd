"""Servers to provoke every finding on: PostgreSQL 18, and the platform's own, older one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from broker import Broker, Settings
from broker.cli.dsn import settings
from broker.deadline import SYSTEM_CLOCK
from broker.local.pgbouncer import ADMIN, PgBouncer
from broker.local.postgres import Postgres
from broker.observe.diagnosis import diagnose
from broker.observe.finding import Finding
from broker.observe.look import look
from broker.observe.snapshot import Snapshot
from broker.observe.thresholds import Thresholds
from broker.observe.visit import Visit, Visitor
from broker.settings import Flavour
from tests.wait import wait_until

MAX_CONNECTIONS = 40
ORDINARY = MAX_CONNECTIONS - 3
USER, PASSWORD = "app", "pass/word@app"
SETTINGS = {
    "max_connections": str(MAX_CONNECTIONS),
    "max_prepared_transactions": "5",
    "max_wal_senders": "2",
}
OTHERS = """select count(*) from pg_stat_activity
            where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()"""


@dataclass
class Crowd:
    """Opens sessions on a server, from any address of loopback, and closes them again."""

    server: Postgres
    connections: list[pg8000.native.Connection] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def open(
        self,
        count: int = 1,
        *,
        application: str = "",
        address: str = "127.0.0.1",
        user: str = USER,
        password: str = PASSWORD,
        sql: str = "select 1",
        **options: Any,
    ) -> list[pg8000.native.Connection]:
        """Open so many, and run the statement in each."""
        opened = [
            pg8000.native.Connection(
                user,
                host=self.server.host,
                port=options.get("port", self.server.port),
                password=password,
                database=options.get("database", "postgres"),
                application_name=application or None,
                source_address=(address, 0),
                ssl_context=False,
            )
            for _ in range(count)
        ]
        self.connections += opened
        for connection in opened:
            connection.run(sql)
        return opened

    def start(self, connection: pg8000.native.Connection, sql: str) -> None:
        """Run a statement that does not come back by itself, in a thread of its own."""

        def run() -> None:
            with suppress(Exception):  # it is ended with the test
                connection.run(sql)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)

    def close(self) -> None:
        """End all of them, and wait until the server has seen it."""
        end = f"select pg_terminate_backend(pid) from ({OTHERS.replace('count(*)', 'pid')}) o"
        self.server.admin(end)
        for connection in self.connections:
            with suppress(Exception):
                connection.close()
        for thread in self.threads:
            thread.join(10)
        wait_until(lambda: self.server.admin(OTHERS)[0][0] == 0, "the sessions to end")


def open_up(server: Postgres) -> Postgres:
    """Let everybody in from all of loopback, and make the application's role."""
    hba = Path(server.admin("show hba_file")[0][0])
    hba.write_text(f"{hba.read_text()}\nhost all,replication all 127.0.0.0/8 scram-sha-256\n")
    server.admin("select pg_reload_conf()")
    server.create_role(USER, PASSWORD)
    server.create_role("watcher", PASSWORD, attributes="in role pg_monitor")
    return server


@pytest.fixture(scope="module")
def newest() -> Iterator[Postgres]:
    """Run PostgreSQL 18."""
    with Postgres(SETTINGS) as server:
        yield open_up(server)


@pytest.fixture(scope="module", params=["18", "platform"])
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Run PostgreSQL 18, and the platform's own version where there is one."""
    if request.param == "18":
        yield request.getfixturevalue("newest")
        return
    request.getfixturevalue("postgres_tls")  # skips, saying why, where there is none
    with Postgres(SETTINGS, tls=True) as server:
        yield open_up(server)


@pytest.fixture
def crowd(server: Postgres) -> Iterator[Crowd]:
    """Open sessions on either server; they end with the test."""
    made = Crowd(server)
    yield made
    made.close()


@pytest.fixture
def crowd18(newest: Postgres) -> Iterator[Crowd]:
    """Open sessions on PostgreSQL 18; they end with the test."""
    made = Crowd(newest)
    yield made
    made.close()


def address_of(
    server: Postgres, user: str | None = None, password: str = PASSWORD, database: str = "postgres"
) -> str:
    """Return the DSN as a person would give it; the superuser's by default."""
    return server.dsn(user, password, database) + "?sslmode=disable"


def console_of(pooler: PgBouncer) -> str:
    """Return the DSN of PgBouncer's console."""
    return (
        f"postgresql://{ADMIN}:{pooler._admin_password}@{pooler.host}:{pooler.port}"
        "/pgbouncer?sslmode=disable"
    )


def snapshot(server: Postgres, user: str | None = None, **changes: Any) -> Snapshot:
    """Look once, as the superuser or as somebody else."""
    asked = settings(address_of(server, user))
    with Broker(replace(asked, **changes)) as db:
        return look(db)


def findings(
    server: Postgres, user: str | None = None, before: Snapshot | None = None, **limits: Any
) -> list[Finding]:
    """Look once, and diagnose with thresholds that are low enough for a test."""
    return diagnose(snapshot(server, user), before, Thresholds(**limits))


def kinds(found: list[Finding]) -> list[str]:
    """Return what was found, in order."""
    return [finding.kind.value for finding in found]


def visit(dsn: str, console: str | None = None, *, timeout_s: float = 1.0) -> Visit:
    """Visit as the doctor does, but with less patience."""

    def patient(asked: Settings) -> Settings:
        return replace(asked, timeout_s=timeout_s)

    pooler = replace(settings(console), flavour=Flavour.PGBOUNCER) if console else None
    return Visitor(
        patient(settings(dsn)), patient(pooler) if pooler else None, None, SYSTEM_CLOCK
    ).visit()


@pytest.fixture
def pooler_to() -> Iterator[Callable[..., PgBouncer]]:
    """Start PgBouncers in front of a server, as `app` on `appdb`; they end with the test."""
    with ExitStack() as running:

        def start(conninfo: str, **settings: str) -> PgBouncer:
            config = {"databases": {"appdb": conninfo}, "pgbouncer": settings}
            return running.enter_context(PgBouncer(config, {USER: PASSWORD}))

        yield start
