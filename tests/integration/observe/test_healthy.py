"""A healthy database at work yields no finding, however busy it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from broker import Broker
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.settings import Flavour, Settings, Tls
from tests.integration.observe.conftest import (
    PASSWORD,
    USER,
    Crowd,
    address_of,
    console_of,
    visit,
)
from tests.wait import wait_until

WORKERS = 12
Start = Callable[..., PgBouncer]


@pytest.fixture
def loaded(newest: Postgres, crowd18: Crowd, pooler_to: Start) -> Iterator[PgBouncer]:
    """Let twelve workers write through a sized pooler, in transactions that meet each other."""
    newest.admin("drop table if exists counters")
    newest.admin("create table counters (id int primary key, n int)")
    newest.admin("insert into counters select g, 0 from generate_series(0, 3) g")
    newest.admin(f"grant all on counters to {USER}")
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="8", reserve_pool_size="2")
    over = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        made = Settings(
            pooler.host,
            "appdb",
            USER,
            PASSWORD,
            port=pooler.port,
            flavour=Flavour.PGBOUNCER,
            tls=Tls.OFF,
            application_name="orders:7",
        )
        with Broker(made) as db:
            while not over.is_set():
                with db.transaction() as tx:
                    tx.run("update counters set n = n + 1 where id = :id", id=number % 4)
                    tx.run("select pg_sleep(0.002)")
                done.append(number)

    with ExitStack() as ending:
        for number in range(WORKERS):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            ending.callback(thread.join)
        ending.callback(over.set)
        wait_until(lambda: len(done) > 2 * WORKERS, "them to be at work")
        yield pooler
        assert len(done) > 4 * WORKERS, "they were at work meanwhile"


def test_a_healthy_database_under_load_yields_none(newest: Postgres, loaded: PgBouncer) -> None:
    for _ in range(3):
        found = visit(address_of(newest), console_of(loaded), timeout_s=10.0)
        assert found.findings == []
        assert found.now is not None
        assert found.now.taken >= 1
