"""The servers that are measured against, and what is in them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from broker import Settings
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.relay import Relay
from broker.settings import Flavour, Tls

DATABASE = "bench"
PASSWORD = "bench"
RIDES = "rides"  # a role with no statement_timeout: the deadline rides with each statement
BOUNDED = "bounded"  # a role with one near BROKER_TIMEOUT: nothing has to ride
TIMEOUT_S = 30.0
POOL = 25
CLIENTS = 2_000
DELAY_S = 0.0005  # each way: about what lies between two availability zones
ITEMS = 1_000
ROWS = 10_000
ACCOUNTS = 1_000
BALANCE = 1_000_000

_TABLES = (
    "create table item (id integer primary key, name text not null)",
    f"insert into item select i, 'item ' || i from generate_series(1, {ITEMS}) i",
    "create table wide (id bigint primary key, name text, price numeric(12,2),"
    " changed timestamptz, active boolean)",
    "insert into wide select i, 'customer ' || i, i * 1.37,"
    " timestamptz '2026-01-01 12:00:00.123456+00' + i * interval '61 seconds', i % 3 = 0"
    f" from generate_series(1, {ROWS}) i",
    "create table narrow (id integer primary key, name text)",
    f"insert into narrow select i, 'customer ' || i from generate_series(1, {ROWS}) i",
    "create table account (id integer primary key, owner text not null, balance bigint not null)",
    f"insert into account select i, 'owner ' || i, {BALANCE} from generate_series(1, {ACCOUNTS}) i",
    "create table payment (id bigint generated always as identity primary key,"
    " token text not null, account integer not null references account, amount integer not null)",
    "grant update on account to public",
    "grant insert on payment to public",
    "grant select on all tables in schema public to public",
    "vacuum analyze",
)


@dataclass(frozen=True)
class Target:
    """Where a client connects to, and as whom."""

    port: int
    user: str = BOUNDED
    host: str = Postgres.host
    database: str = DATABASE
    password: str = field(default=PASSWORD, repr=False)

    def settings(self) -> Settings:
        """Return the broker's settings for it."""
        return Settings(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
            flavour=Flavour.PGBOUNCER,
            tls=Tls.OFF,
            timeout_s=TIMEOUT_S,
            connect_timeout_s=TIMEOUT_S,  # thousands log in at once
        )


class Stack:
    """PostgreSQL, PgBouncer before it, and before that a relay that adds a delay."""

    def __init__(self, max_connections: int = 100) -> None:
        limits = {"max_connections": str(max_connections), "shared_buffers": "128MB"}
        self.postgres = Postgres(limits)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            postgres = starting.enter_context(self.postgres)
            self._fill(postgres)
            config = {
                "databases": {DATABASE: postgres.conninfo(DATABASE)},
                "pgbouncer": {
                    "default_pool_size": str(POOL),
                    "reserve_pool_size": "0",
                    "max_client_conn": str(CLIENTS + 100),
                    "query_wait_timeout": str(TIMEOUT_S),
                },
            }
            users = dict.fromkeys((RIDES, BOUNDED), PASSWORD)
            self.pgbouncer = starting.enter_context(PgBouncer(config, users))
            self.relay = starting.enter_context(Relay(self.pgbouncer.port, delay_s=DELAY_S))
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    @staticmethod
    def _fill(postgres: Postgres) -> None:
        postgres.create_role(RIDES, PASSWORD)
        timeout = {"statement_timeout": f"{TIMEOUT_S:g}s"}
        postgres.create_role(BOUNDED, PASSWORD, settings=timeout)
        postgres.create_database(DATABASE)
        for sql in _TABLES:
            postgres.admin(sql, database=DATABASE)
