"""PgBouncer's findings, provoked on a real one in front of a real PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pg8000.native
import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from tests.integration.observe.conftest import (
    PASSWORD,
    USER,
    Crowd,
    address_of,
    console_of,
    kinds,
    visit,
)
from tests.wait import wait_until

Start = Callable[..., PgBouncer]


def waiting(pooler: PgBouncer) -> int:
    return max(int(row["maxwait"]) for row in pooler.admin("show pools"))


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen on a port of loopback, and never say a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as listener:
        yield listener.getsockname()[1]


def test_a_sized_pooler_with_idle_clients_yields_no_finding(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="5", reserve_pool_size="2")
    crowd18.open(50, port=pooler.port, database="appdb")

    found = visit(address_of(newest), console_of(pooler))

    assert found.findings == []
    assert found.now is not None
    assert found.now.pooler is not None
    assert (found.now.pooler.clients, found.now.pooler.may_open) == (50, 7)


def test_a_pool_smaller_than_its_load(newest: Postgres, crowd18: Crowd, pooler_to: Start) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="1", reserve_pool_size="0")
    first, second = crowd18.open(2, port=pooler.port, database="appdb")
    first.run("begin; select 1")
    crowd18.start(second, "select 1")
    wait_until(lambda: waiting(pooler) >= 1, "a client to wait for a second")

    [found] = visit(address_of(newest), console_of(pooler)).findings

    assert found.kind.value == "pool_too_small"
    assert "appdb/app: 1 client waiting, the longest for" in found.sentence
    assert "for one of 1 server session" in found.sentence
    assert found.evidence[0] == "1 active, 0 idle, pool_size 1 + reserve 0"
    assert found.apply == ("default_pool_size = 19",), "half of the 36 places that are left"


def test_a_pooler_that_cannot_log_in(
    newest: Postgres, crowd18: Crowd, pooler_to: Start, silent: int
) -> None:
    pooler = pooler_to(f"host=127.0.0.1 port={silent} dbname=postgres")

    def knock() -> None:
        with pytest.raises(pg8000.exceptions.Error):
            crowd18.open(port=pooler.port, database="appdb")

    client = threading.Thread(target=knock)
    client.start()
    wait_until(lambda: pooler.admin("show servers"), "a login to be under way")

    found, *others = visit(address_of(newest), console_of(pooler)).findings
    pooler.kill()
    client.join()
    assert others == []

    assert found.kind.value == "pooler_login"
    assert "PgBouncer has no server session for them" in found.sentence
    assert found.evidence == ("1 login under way at this moment",)


def test_a_pooler_that_is_full_of_clients(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), max_client_conn="10")
    crowd18.open(8, port=pooler.port, database="appdb")
    assert visit(address_of(newest), console_of(pooler)).findings == []
    crowd18.open(1, port=pooler.port, database="appdb")

    [found] = visit(address_of(newest), console_of(pooler)).findings

    assert found.kind.value == "pooler_clients"
    assert "9 of 10 clients (max_client_conn)" in found.sentence
    assert found.apply == ("max_client_conn = 20",)


def test_pools_that_do_not_fit_the_server(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="35", reserve_pool_size="3")
    crowd18.open(1, port=pooler.port, database="appdb")

    [found] = visit(address_of(newest), console_of(pooler)).findings

    assert found.kind.value == "pooler_limits"
    assert found.evidence == ("all pools together 38, the server has 37 for ordinary roles",)
    assert found.apply == ("default_pool_size = 34",)
    key, value = found.apply[0].split(" = ")
    pooler.admin(f"set {key} = {value}")
    assert visit(address_of(newest), console_of(pooler)).findings == [], "the setting mends it"


@pytest.mark.parametrize("what", ["role app", "database postgres"])
def test_pools_that_do_not_fit_a_limit(
    newest: Postgres, crowd18: Crowd, pooler_to: Start, what: str
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="5", reserve_pool_size="0")
    crowd18.open(1, port=pooler.port, database="appdb")
    newest.admin(f"alter {what} connection limit 4")
    try:
        [found] = visit(address_of(newest), console_of(pooler)).findings
        assert found.kind.value == "pooler_limits"
        assert found.evidence == (f"{what}: pools of 5, CONNECTION LIMIT 4",)
    finally:
        newest.admin(f"alter {what} connection limit -1")
    assert visit(address_of(newest), console_of(pooler)).findings == []


def test_a_sized_pooler_and_still_at_the_cap(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="5", reserve_pool_size="0")
    pooled = crowd18.open(5, port=pooler.port, database="appdb")
    for connection in pooled:
        connection.run("begin; select 1")
    for host in range(2, 10):
        crowd18.open(4, application="cron", address=f"127.0.0.{host}")

    found = visit(address_of(newest), console_of(pooler)).findings

    assert kinds(found) == ["pooler_bypassed", "full"]
    assert "PgBouncer holds 5 sessions of the 5 that it may, and 32 come past it" in (
        found[0].sentence
    )
    assert "cron as app on postgres from 127.0.0.2: 4 sessions" in found[0].evidence


def test_the_poolers_own_sessions_are_no_fleet_and_no_pool_of_an_application(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    """35 sessions from one address, all new: with the console it is known whose they are."""
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="35", reserve_pool_size="0")
    for connection in crowd18.open(35, port=pooler.port, database="appdb"):
        connection.run("begin; select 1")
    for connection in crowd18.connections:
        connection.run("commit")

    found = visit(address_of(newest), console_of(pooler))

    assert kinds(found.findings) == ["nearly_full"]
    assert kinds(visit(address_of(newest)).findings)[0] == "serverless_without_pooler"


def test_a_console_that_is_none_is_said_and_the_rest_is_looked_at(
    newest: Postgres, crowd18: Crowd
) -> None:
    found = visit(address_of(newest), address_of(newest))
    assert found.findings == []
    assert found.now is not None
    assert found.unseen[0].startswith("the pooler: PostgreSQL itself answered. This is not")


def test_a_console_that_refuses_is_a_finding(
    newest: Postgres, crowd18: Crowd, pooler_to: Start
) -> None:
    pooler = pooler_to(newest.conninfo("postgres"))
    wrong = console_of(pooler).replace("broker_admin:", "broker_admin:x")
    [found] = visit(address_of(newest), wrong).findings
    assert found.kind.value == "refused"
    assert "does not accept the user or the password" in found.sentence

    ordinary = f"postgresql://{USER}:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:"
    [found] = visit(
        address_of(newest), f"{ordinary}{pooler.port}/pgbouncer?sslmode=disable"
    ).findings
    assert found.kind.value == "refused"
