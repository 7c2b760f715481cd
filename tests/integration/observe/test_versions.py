"""The doctor, the monitor and the reaper on each PostgreSQL from 13 to 17.

18, and the platform's own version, are what every other test here runs on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from broker import Broker
from broker.cli.dsn import settings
from broker.local.postgres import Postgres
from broker.observe.diagnosis import blind_spots
from broker.observe.look import look
from broker.observe.visit import BETWEEN_S
from lambdas.monitor.watch import Watch
from tests.conftest import OLDER, need_postgres_of
from tests.integration.observe import test_cli, test_places, test_reaper, test_waits
from tests.integration.observe.conftest import (
    SETTINGS,
    Crowd,
    address_of,
    open_up,
    snapshot,
)
from tests.lambdas.emf import figures
from tests.wait import wait_until

COUNTED_SINCE = 14  # pg_stat_database's sessions, sessions_abandoned, sessions_killed
RESERVED_SINCE = 16
NAMESPACE = "Tested"
reaper = test_reaper.reaper


@pytest.fixture(scope="module", params=OLDER)
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Run one older version after the other."""
    need_postgres_of(request.param)
    with Postgres(SETTINGS, version=request.param) as made:
        assert made.admin("show server_version")[0][0].startswith(f"{request.param}.")
        yield open_up(made)


def quiet(server: Postgres) -> bool:
    """Tell whether a second passes without a new session but ours: 14 counts late."""
    with Broker(settings(address_of(server))) as db:
        before = look(db)
        time.sleep(BETWEEN_S)
        return (look(db).opened_since(before) or 0) <= 1


@pytest.fixture
def major(server: Postgres) -> int:
    return int(server.admin("show server_version_num")[0][0]) // 10_000


test_idle_in_transaction = test_waits.test_one_session_idle_in_transaction
test_blocked = test_waits.test_a_chain_of_waiters_names_its_head
test_limits = test_places.test_a_limit_that_is_reached_while_the_server_has_room
test_nearly_full = test_places.test_below_the_alarms_share_is_no_finding
test_watchers = test_places.test_a_watcher_of_a_broker_s_at_its_limit_is_as_it_should_be
test_hidden = test_places.test_a_role_that_may_not_look_is_told_so
test_walsenders = test_places.test_every_place_for_replication_taken
test_reaping = test_reaper.test_each_session_gets_its_verdict_and_only_the_matching_one_ends
test_not_allowed = test_reaper.test_without_the_right_to_end_it_says_so


def test_the_doctor_finds_nothing_on_a_healthy_server(server: Postgres, crowd: Crowd) -> None:
    crowd.open(5, application="orders")
    wait_until(lambda: quiet(server), "a second in which no test opens sessions")
    result = test_cli.run("doctor", address_of(server, "watcher"))
    assert result.exit_code == 0, result.output
    version = server.admin("show server_version")[0][0]
    assert result.output.startswith(f"PostgreSQL {version} at ")
    assert "5 of 40 sessions" in result.output
    assert "No finding: nothing here explains a 53300." in result.output


def test_the_doctor_names_what_fills_a_server(server: Postgres, crowd: Crowd) -> None:
    for number in range(37):
        crowd.open(application="shop", address=f"127.0.0.{number + 2}")
    result = test_cli.run("doctor", address_of(server))
    assert result.exit_code == 1, result.output
    assert "1. Serverless without a pooler [serverless_without_pooler]" in result.output
    assert "shop as app on postgres: 37 sessions from 37 addresses" in result.output
    assert "2. The server is full [full]" in result.output


def test_what_a_version_does_not_count_is_said_and_not_guessed(
    server: Postgres, crowd: Crowd, major: int
) -> None:
    now = snapshot(server)
    assert (now.opened is not None) is (major >= COUNTED_SINCE)
    counts = any("how many sessions come and go" in spot for spot in blind_spots(now))
    assert counts is (major < COUNTED_SINCE)


def test_a_look_of_the_monitors(
    server: Postgres, crowd: Crowd, major: int, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = replace(settings(address_of(server, "watcher")), metrics_namespace=NAMESPACE)
    [held] = crowd.open(application="orders:7", sql="begin")
    crowd.open(2, application="billing")
    with Broker(asked) as db:
        watch = Watch(db, "db")
        for _ in range(2):
            capsys.readouterr()
            told = watch.look()
    found = figures(capsys.readouterr().out.splitlines(), NAMESPACE)
    held.run("rollback")
    assert told == {"sessions": 4, "findings": 0}
    totals = found["server=db",]
    assert (totals["MaxConnections"], totals["SessionsUsed"]) == (40, 4)
    assert totals["IdleInTransaction"] == 1
    assert totals["OldestTransactionSeconds"] > 0
    assert ("DatabaseSessionsKilled" in totals) is (major >= COUNTED_SINCE)
    assert found["application=billing", "server=db"] == {"SessionsByApplication": 2}


def test_reserved_places_are_known_where_there_are_such(
    server: Postgres, crowd: Crowd, major: int
) -> None:
    """reserved_connections is PostgreSQL 16's."""
    if major < RESERVED_SINCE:
        assert snapshot(server).server.reserved == 0
        return
    server.restart(settings={"reserved_connections": "2"})
    try:
        now = snapshot(server).server
        assert (now.reserved, now.ordinary_limit) == (2, 35)
    finally:
        server.restart(settings={"reserved_connections": "0"})
        wait_until(lambda: snapshot(server).server.reserved == 0, "it to be as before")
