"""Every way in which Lambda runs code: snapshots, SIGTERM, half-open ways, event loops."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import snapshot_restore_py

from broker import Broker
from broker.deadline import Instant, SystemClock
from broker.local.relay import Relay
from broker.local.relayed import BOTH
from broker.reuse import Reason
from tests.conftest import Database
from tests.wait import wait_until


def variables(database: Database) -> dict[str, str]:
    return {
        "BROKER_HOST": database.server.host,
        "BROKER_PORT": str(database.server.port),
        "BROKER_DATABASE": database.name,
        "BROKER_USER": database.user,
        "BROKER_PASSWORD": database.password,
        "BROKER_FLAVOUR": "direct",
        "BROKER_TLS": "off",
    }


@pytest.fixture
def snap_started(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """Make a broker as in the INIT of a SnapStart function."""
    monkeypatch.setattr(snapshot_restore_py, "_before_snapshot_registry", [])
    monkeypatch.setattr(snapshot_restore_py, "_after_restore_registry", [])
    for name, value in variables(database).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    with Broker.from_env() as db:
        yield db


def call(registry: list[tuple[Callable[..., None], tuple[object, ...], dict[str, object]]]) -> None:
    """Do what Lambda's runtime does at a snapshot and at a restore."""
    for function, arguments, keywords in registry:
        function(*arguments, **keywords)


def test_a_snapshot_holds_no_session_and_each_copy_opens_its_own(
    snap_started: Broker, database: Database
) -> None:
    db = snap_started
    db.run("select 1")
    assert database.backends() == 1
    call(snapshot_restore_py.get_before_snapshot())
    wait_until(lambda: database.backends() == 0, "the session to end")
    assert db.stats().replaced == {Reason.SNAPSHOT: 1}
    drawn = set()
    for _ in range(3):  # copies of one state
        db._rng.seed(1)
        call(snapshot_restore_py.get_after_restore())
        drawn.add(db._rng.random())
    assert len(drawn) == 3
    assert db.run("select 1").scalar() == 1


SERVE = """
import sys, time
from broker import Broker
dbs = [Broker.from_env(), Broker.from_env()]
for db in dbs:
    db.run("select 1")
print("serving", flush=True)
time.sleep(60)
"""


def serving(database: Database, program: str) -> subprocess.Popen[str]:
    """Start an environment with two brokers that have a session each."""
    env = {**variables(database), "PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": "here"}
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "serving\n"
    return process


OWN = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"


@pytest.mark.parametrize(("own", "status"), [("", -signal.SIGTERM), (OWN, 7)])
def test_sigterm_says_good_bye_to_the_server_and_then_does_what_it_did(
    own: str, status: int, database: Database
) -> None:
    """A handler of the user's own comes after ours; without one the process ends as ever."""
    process = serving(database, own + SERVE)
    try:
        assert database.backends() == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == status
    finally:
        process.kill()
        process.communicate()
    assert left(database) == (2, 0)


def test_what_is_killed_abandons_its_sessions(database: Database) -> None:
    """So the count above can tell."""
    process = serving(database, SERVE)
    process.kill()
    process.communicate()
    assert left(database) == (2, 2)


def left(database: Database) -> tuple[int, int]:
    """Return how many sessions there were, and how many ended without a word of the client."""
    wait_until(lambda: database.backends() == 0, "the sessions to end")
    sql = "select sessions, sessions_abandoned from pg_stat_database where datname = :name"
    [[sessions, abandoned]] = wait_until(
        lambda: [row for row in database.server.admin(sql, name=database.name) if row[0] >= 2],
        "the server to count its sessions",
    )
    return int(sessions), int(abandoned)


class Thawed(SystemClock):
    """The machine's clocks, set forward by what it was frozen for."""

    frozen_s = 0.0

    def now(self) -> Instant:  # type: ignore[override]  # the machine's own needs no self
        moment = SystemClock.now()
        return Instant(moment.monotonic_s, moment.wall_s + self.frozen_s)


def test_a_half_open_session_is_found_by_a_bounded_probe_and_nothing_hangs(
    database: Database,
) -> None:
    """While it was frozen the way was lost, and no word of it came."""
    clock = Thawed()
    with Relay(database.server.port) as relay:
        settings = database.settings(port=relay.port, timeout_s=30)
        with Broker(settings, clock=clock) as db:
            db.run("select 1")
            [relayed] = relay.connections
            relayed.pause(*BOTH)
            clock.frozen_s = 120
            begun_s = time.monotonic()
            assert db.run("select 1").scalar() == 1
            assert time.monotonic() - begun_s < 20, "it waited for a way that is gone"
            assert db.stats().replaced == {Reason.UNANSWERED: 1}


def test_a_probe_that_is_answered_keeps_the_session(database: Database) -> None:
    clock = Thawed()
    with (
        Relay(database.server.port) as relay,
        Broker(database.settings(port=relay.port), clock=clock) as db,
    ):
        first = db.run("select pg_backend_pid()").scalar()
        clock.frozen_s = 120
        flights = relay.flights
        assert db.run("select pg_backend_pid()").scalar() == first
        assert relay.flights - flights == 2


def test_a_clock_that_is_set_back_or_forward_is_harmless(database: Database) -> None:
    clock = Thawed()
    with Broker(database.settings(), clock=clock) as db:
        for shift_s in (0, -86_400, 86_400, -3600, 0):
            clock.frozen_s = shift_s
            assert db.run("select 1").scalar() == 1


def test_tasks_that_go_through_threads_do_not_hold_up_the_loop_or_share_a_session(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The documented way: await asyncio.to_thread(db.run, …), and as many sessions."""
    sql = "select pg_backend_pid(), pg_sleep(0.2)"

    async def main(db: Broker) -> tuple[list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        rows = await asyncio.gather(*(asyncio.to_thread(db.run, sql) for _ in range(4)))
        ticking.cancel()
        return [row.one()[0] for row in rows], ticks

    with Broker(database.settings(max_sessions=4)) as db, caplog.at_level(logging.WARNING):
        pids, ticks = asyncio.run(main(db))
    assert len(set(pids)) == 4
    assert ticks > 2, "the loop stood still"
    assert not caplog.records


def test_a_call_that_blocks_the_event_loop_is_said_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(db: Broker) -> None:
        db.run("select 1")
        db.run("select 1")

    with Broker(database.settings()) as db, caplog.at_level(logging.WARNING, "broker"):
        db.run("select 1")
        asyncio.run(main(db))
    [record] = caplog.records
    assert "asyncio.to_thread" in record.message
    assert database.password not in record.message
