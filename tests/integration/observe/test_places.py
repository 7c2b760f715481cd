"""Limits: of the server, of roles and databases, of replication and memory."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pg8000.native
import pytest

from broker.cli.doctor import headline
from broker.local.postgres import Postgres
from broker.observe.diagnosis import blind_spots, diagnose
from broker.observe.look import MADE_HERE, memory_bytes, with_memory
from tests.chaos.standby import Standby
from tests.integration.observe.conftest import (
    ORDINARY,
    PASSWORD,
    Crowd,
    findings,
    kinds,
    open_up,
    snapshot,
)
from tests.wait import wait_until


def busy(crowd: Crowd, sessions: int) -> None:
    """Open sessions of many applications, which no other finding explains."""
    for number in range(sessions):
        host, name = number % 9 + 2, number // 6
        crowd.open(application=f"app-{name}-x", address=f"127.0.0.{host}")


def test_a_full_server_says_what_is_left_and_for_whom(server: Postgres, crowd: Crowd) -> None:
    busy(crowd, ORDINARY)

    found = findings(server)

    assert kinds(found) == ["full"]
    assert "37 sessions, and max_connections 40 - 3 reserved = 37 for all" in found[0].sentence
    assert found[0].evidence[0].startswith("3 of 3 reserved places left")
    assert "superusers postgres" in found[0].evidence[1]


def test_reserved_places_that_are_gone_are_counted(server: Postgres, crowd: Crowd) -> None:
    busy(crowd, ORDINARY)
    with ExitStack() as held:
        for _ in range(2):
            connection = server.connect()
            held.callback(connection.close)
        assert findings(server)[0].evidence[0].startswith("1 of 3 reserved places left")


def test_below_the_alarms_share_is_no_finding(server: Postgres, crowd: Crowd) -> None:
    busy(crowd, 32)  # 80 % of 40: the reference's rule is "above"
    assert findings(server) == []
    busy(crowd, 1)
    assert kinds(findings(server)) == ["nearly_full"]


@pytest.mark.parametrize("what", ["role", "database"])
def test_a_limit_that_is_reached_while_the_server_has_room(
    server: Postgres, crowd: Crowd, what: str
) -> None:
    server.create_database("narrow", owner="app")
    name = "app" if what == "role" else "narrow"
    server.admin(f"alter {what} {name} connection limit 3")
    try:
        crowd.open(2, application="web", database="narrow")
        assert findings(server) == [], "one is left"
        crowd.open(1, application="web", database="narrow")

        found = findings(server)

        assert kinds(found) == [f"{what}_limit"]
        assert f"The {what} {name} has 3 of its 3 sessions" in found[0].sentence
        assert "room for 34 more" in found[0].sentence
        server.admin(found[0].apply[0])
        assert findings(server) == [], "the statement mends it"
    finally:
        server.admin(f"alter {what} {name} connection limit -1")
        crowd.close()
        server.admin("drop database narrow")


def test_a_role_that_is_switched_off_is_no_finding(server: Postgres, crowd: Crowd) -> None:
    """CONNECTION LIMIT 0 is how people lock a role out."""
    server.create_role("nobody_home", PASSWORD, connection_limit=0)
    try:
        assert findings(server) == []
    finally:
        server.admin("drop role nobody_home")


@pytest.mark.parametrize("own", [True, False])
def test_a_watcher_of_a_broker_s_at_its_limit_is_as_it_should_be(
    server: Postgres, crowd: Crowd, own: bool
) -> None:
    """Ours, or another broker's on the same server; somebody else's agent has a limit to raise."""
    name = "broker_reaper_orders_12345678"
    server.create_role(name, PASSWORD, connection_limit=1, attributes="in role pg_monitor")
    if own:
        server.admin(f"comment on role {name} is '{MADE_HERE}'")
    try:
        crowd.open(1, application="orders-reaper:3", user=name)
        assert kinds(findings(server)) == ([] if own else ["role_limit"])
        crowd.open(1, application="orders:7", sql="begin")
        server.admin("alter role app connection limit 1")
        assert "role_limit" in kinds(findings(server)), "the application's limit is one"
    finally:
        server.admin("alter role app connection limit -1")
        crowd.close()
        server.admin(f"drop role {name}")


@pytest.fixture
def flooded(newest: Postgres) -> Iterator[threading.Event]:
    """Connect so often without logging in that the postmaster takes no more; end at the event."""
    release = threading.Event()
    sockets = [
        socket.create_connection((newest.host, newest.port)) for _ in range(2 * (40 + 2) + 40)
    ]

    def hold() -> None:
        release.wait(30)
        for each in sockets:
            each.close()

    holder = threading.Thread(target=hold)
    holder.start()
    yield release
    release.set()
    holder.join()


def test_53300_with_few_sessions_is_counted_out(
    newest: Postgres, crowd18: Crowd, flooded: threading.Event
) -> None:
    """Those that have connected and not logged in take the postmaster's places, unseen."""

    def refused() -> bool:
        try:
            pg8000.native.Connection(
                "app", host=newest.host, port=newest.port, password=PASSWORD, ssl_context=False
            ).close()
        except pg8000.native.DatabaseError as error:
            return bool(error.args[0]["C"] == "53300")
        return False

    wait_until(refused, "the server to refuse with 53300")
    threading.Timer(0.5, flooded.set).start()

    now = snapshot(newest, timeout_s=20.0)

    assert now.refusals > 0
    found = diagnose(now)
    assert kinds(found) == ["unseen"]
    assert "only 0 of 40 places were taken" in found[0].sentence
    assert "0 walsenders of 2" in found[0].evidence[1]
    assert diagnose(replace(now, refusals=0)) == [], "without a refusal it is a quiet server"


def test_a_role_that_may_not_look_is_told_so(server: Postgres, crowd: Crowd) -> None:
    server.create_role("blind", PASSWORD)
    try:
        for number in range(35):
            crowd.open(application=f"a{number // 6}", address=f"127.0.0.{number % 9 + 2}")

        found = findings(server, "blind")
        assert kinds(found) == ["hidden_sessions", "nearly_full"]
        assert found[0].apply == ('grant pg_monitor to "blind";',)
        assert "35 of 35 sessions" in found[0].sentence
        assert any("lacks pg_monitor" in spot for spot in blind_spots(snapshot(server, "blind")))

        assert kinds(findings(server, "watcher")) == ["nearly_full"]
        spots = blind_spots(snapshot(server, "watcher"))
        assert not any("lacks pg_monitor" in spot for spot in spots)
    finally:
        server.admin("drop role blind")


def test_every_place_for_replication_taken(server: Postgres, crowd: Crowd) -> None:
    server.create_role("standby", PASSWORD, attributes="replication")
    try:
        for expected in ([], ["walsenders"]):
            crowd.connections.append(
                pg8000.native.Connection(
                    "standby",
                    host=server.host,
                    port=server.port,
                    password=PASSWORD,
                    replication="true",
                    application_name="standby1",
                    ssl_context=False,
                )
            )
            assert kinds(findings(server)) == expected
        assert "standby1" in findings(server)[0].evidence[0]
    finally:
        crowd.close()
        server.admin("drop role standby")


def test_max_connections_beyond_memory(server: Postgres, crowd: Crowd) -> None:
    now = snapshot(server)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        assert now.memory_bytes is not None
        assert now.memory_bytes <= (memory_bytes(meminfo.read_text(), "") or 0)
    small = with_memory(now, 500 * 10**6)  # 450 - 134 of shared_buffers: 31 sessions of 10 MB

    found = diagnose(small)

    assert kinds(found) == ["memory"]
    assert "max_connections is 40, and memory holds 31 sessions of 10 MB" in found[0].sentence
    assert found[0].apply == ("max_connections = 31",)
    assert diagnose(with_memory(now, 600 * 10**6)) == []


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the server's memory is unknown")
def test_max_connections_beyond_the_machines_own_memory() -> None:
    total = memory_bytes(Path("/proc/meminfo").read_text(), "") or 0
    beyond = total // (10 * 10**6) + 100
    if beyond > 20_000:
        pytest.skip("this machine has more memory than a server can be told to have sessions")
    with Postgres({"max_connections": str(beyond)}) as server:
        assert kinds(findings(open_up(server))) == ["memory"]


def test_a_replica_says_that_it_is_one_and_needs_no_more_than_a_writer() -> None:
    """53300 on the writer is not to be seen on its replica: the doctor says which one this is."""
    with Postgres() as writer:
        open_up(writer)
        with Standby(writer, {}) as replica:
            now = snapshot(replica)
            assert now.server.in_recovery
            assert diagnose(now) == []
            [unseen] = diagnose(replace(now, refusals=1))
            assert "a replica: its places are its own, not another's" in unseen.evidence[-1]
            assert "a replica, up" in headline(now)
        assert "a writer" in diagnose(replace(snapshot(writer), refusals=1))[0].evidence[-1]


def test_looking_changes_nothing_and_waits_for_no_lock(newest: Postgres, crowd18: Crowd) -> None:
    """It only selects, in a read-only transaction, and gives up on a locked catalogue."""
    crowd18.connections.append(newest.connect())
    holder = crowd18.connections[-1]
    holder.run("begin")
    holder.run("lock table pg_settings in access exclusive mode")
    started = time.monotonic()
    with pytest.raises(Exception, match="55P03"):
        snapshot(newest)
    assert time.monotonic() - started < 8
    holder.run("rollback")
    assert snapshot(newest).server.max_connections == 40
