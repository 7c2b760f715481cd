"""Who takes the places: each finding is provoked for real, and each has a near miss."""

from __future__ import annotations

import time
from typing import Any

import pytest

from broker.local.postgres import Postgres
from tests.integration.observe.conftest import ORDINARY, Crowd, findings, kinds, snapshot
from tests.wait import wait_until


def test_an_idle_server_yields_no_finding(server: Postgres, crowd: Crowd) -> None:
    assert findings(server) == []


def test_a_busy_server_with_room_yields_no_finding(server: Postgres, crowd: Crowd) -> None:
    """A pool of 20 from one address, half of it at work, harms nobody while there is room."""
    for connection in crowd.open(20, application="web", address="127.0.0.9")[:10]:
        crowd.start(connection, "select pg_sleep(30)")
    assert findings(server) == []


def test_pools_that_are_too_large_in_aggregate(server: Postgres, crowd: Crowd) -> None:
    for host in range(2, 6):
        crowd.open(9, application="web", address=f"127.0.0.{host}")

    found = findings(server)

    assert kinds(found) == ["pools_too_large", "nearly_full"]
    assert found[0].sentence == (
        "36 sessions of 4 instances, 36 of them idle: pools of 8 would free 4, of 5 16."
    )
    assert any("web as app on postgres from 127.0.0.2: 9 sessions" in e for e in found[0].evidence)
    assert "max: 8" in found[0].apply[0]


def test_sane_pools_on_a_nearly_full_server_are_not_blamed(server: Postgres, crowd: Crowd) -> None:
    for host in range(2, 7):
        crowd.open(7, application="web", address=f"127.0.0.{host}")
    assert kinds(findings(server)) == ["nearly_full"]


def test_a_pool_that_works_is_not_blamed(server: Postgres, crowd: Crowd) -> None:
    """Sessions at work would not be freed by a smaller pool."""
    for host in range(2, 6):
        for connection in crowd.open(9, application="web", address=f"127.0.0.{host}"):
            crowd.start(connection, "select pg_sleep(30)")
    active = "select count(*) from pg_stat_activity where state = 'active' and usename = 'app'"
    wait_until(lambda: server.admin(active)[0][0] == 36, "all of them to work")
    assert kinds(findings(server)) == ["nearly_full"]


def test_serverless_without_a_pooler_from_many_addresses(server: Postgres, crowd: Crowd) -> None:
    for host in range(35):
        crowd.open(address=f"127.0.1.{host + 1}")

    found = findings(server)

    assert kinds(found) == ["serverless_without_pooler", "nearly_full"]
    assert "35 sessions from 35 addresses, all opened within the last" in found[0].sentence
    assert found[0].sessions == 35
    assert "pool_mode = transaction" in found[0].apply


def test_serverless_behind_one_interface_is_named_and_so_is_the_doubt(
    server: Postgres, crowd: Crowd
) -> None:
    crowd.open(35)

    found = findings(server)

    assert kinds(found)[:2] == ["serverless_without_pooler", "pools_too_large"]
    assert any("if 1 address is a single process" in line for line in found[0].evidence)


def test_sessions_of_an_older_crowd_are_no_burst(server: Postgres, crowd: Crowd) -> None:
    """The same sessions, once they are old, are a pool that is too large."""
    crowd.open(35)
    time.sleep(0.3)
    assert kinds(findings(server, burst_s=0.2)) == ["pools_too_large", "nearly_full"]
    assert kinds(findings(server, young_s=0.2)) == ["pools_too_large", "nearly_full"]


def test_sessions_that_come_and_go_are_serverless_too(server: Postgres, crowd: Crowd) -> None:
    before = snapshot(server)
    for _ in range(2 * ORDINARY):
        [connection] = crowd.open()
        connection.close()
        crowd.connections.clear()

    def churned() -> list[str]:
        return kinds(findings(server, before=before))

    assert wait_until(churned, "the server to count them") == ["serverless_without_pooler"]


def test_two_generations_at_once(server: Postgres, crowd: Crowd) -> None:
    for version in (7, 8):
        for host in range(2, 11):
            crowd.open(2, application=f"orders:{version}", address=f"127.0.0.{host}")

    found = findings(server)

    assert kinds(found) == ["two_generations", "nearly_full"]
    assert "2 generations hold 36 sessions together, 18 of them of the older" in found[0].sentence
    assert any("orders:7: 18 sessions" in line for line in found[0].evidence)
    assert [statement for statement in found[0].apply if "'orders:7'" in statement]
    server.admin(found[0].apply[0])
    wait_until(lambda: findings(server) == [], "the old generation to end")


@pytest.mark.parametrize("names", [("orders:7", "billing:8"), ("web-1", "web-2")])
def test_other_applications_and_instances_are_no_generations(
    server: Postgres, crowd: Crowd, names: tuple[str, str]
) -> None:
    for name in names:
        for host in range(2, 11):
            crowd.open(2, application=name, address=f"127.0.0.{host}")
    assert "two_generations" not in kinds(findings(server))


LEAK: dict[str, Any] = {"leaked_idle_s": 0.5, "used_once_share": 0.5}


def test_a_leaking_worker(server: Postgres, crowd: Crowd) -> None:
    for _ in range(6):
        crowd.open(application="worker", address="127.0.0.7")
        time.sleep(0.3)

    found = wait_until(lambda: findings(server, **LEAK), "the leak to be old enough")

    assert kinds(found) == ["leaking_worker"]
    assert "worker as app on postgres from 127.0.0.7:" in found[0].sentence
    assert found[0].apply[0].startswith('alter role "app" connection limit')


def test_a_pool_that_was_opened_together_is_no_leak(server: Postgres, crowd: Crowd) -> None:
    opened = crowd.open(6, application="worker", address="127.0.0.7")
    time.sleep(0.7)
    assert findings(server, **LEAK) == []
    for connection in opened:
        connection.run("select 1")
    assert findings(server, **LEAK) == []
