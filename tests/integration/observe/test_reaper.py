"""The reaper ends what idles in transaction for too long, and nobody else; on real servers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pg8000.native
import pytest

from broker import Broker
from broker.cli.dsn import settings
from broker.local.postgres import Postgres
from broker.observe.look import look
from broker.observe.reaper import reap
from broker.observe.verdict import Policy, Reason, judge
from tests.integration.observe.conftest import PASSWORD, Crowd, address_of
from tests.wait import wait_until

POLICY = Policy(("orders*",), ("app",), ("orders-migration",), idle_s=0.2, at_most=10)
IDLE = """select count(*) from pg_stat_activity where state like 'idle in transaction%'
          and state_change < clock_timestamp() - interval '0.25 s'"""


@pytest.fixture
def reaper(server: Postgres) -> Iterator[Broker]:
    """Log in as a role with just what the reaper needs."""
    name = "reaper"
    server.create_role(name, PASSWORD, attributes="in role pg_monitor, pg_signal_backend")
    with Broker(replace(settings(address_of(server, name)), application_name=name)) as db:
        yield db
    server.admin(f"drop role {name}")


def reasons(db: Broker, policy: Policy = POLICY) -> dict[str, Reason]:
    """Return the verdicts by application, with what came of them."""
    verdicts = reap(db, judge(look(db), policy), policy)
    return {verdict.backend.application: verdict.reason for verdict in verdicts}


def idle(server: Postgres, count: int) -> None:
    wait_until(lambda: server.admin(IDLE)[0][0] >= count, f"{count} to idle for long enough")


def test_each_session_gets_its_verdict_and_only_the_matching_one_ends(
    server: Postgres, crowd: Crowd, reaper: Broker
) -> None:
    server.create_role("other", PASSWORD)
    try:
        crowd.open(application="orders:7", sql="begin; select 1")
        crowd.open(application="orders-failed", sql="begin")
        with suppress(pg8000.native.DatabaseError):
            crowd.connections[-1].run("select 1/0")
        crowd.open(application="orders-migration", sql="begin")
        crowd.open(application="billing", sql="begin")
        crowd.open(application="orders-other", user="other", sql="begin")
        crowd.open(application="orders-idle", sql="select 1")
        crowd.connections.append(server.connect())
        crowd.connections[-1].run("begin")
        idle(server, 6)
        crowd.open(application="orders-young", sql="begin")

        assert reasons(reaper, replace(POLICY, idle_s=0.2)) == {
            "orders:7": Reason.ENDED,
            "orders-failed": Reason.ENDED,
            "orders-migration": Reason.EXCLUDED,
            "billing": Reason.OTHER_APPLICATION,
            "orders-other": Reason.OTHER_ROLE,
            "broker-local-admin": Reason.SUPERUSER,
            "orders-young": Reason.TOO_YOUNG,
        }
        left = "select application_name from pg_stat_activity where state is not null"
        wait_until(
            lambda: (
                {row[0] for row in server.admin(left)}
                == {
                    "orders-migration",
                    "billing",
                    "orders-other",
                    "orders-idle",
                    "orders-young",
                    "broker-local-admin",
                    "reaper",
                }
            ),
            "only those two to be gone",
        )
    finally:
        crowd.close()
        server.admin("drop role other")


def test_at_most_so_many_a_run_the_longest_idle_first(
    server: Postgres, crowd: Crowd, reaper: Broker
) -> None:
    for number in range(5):
        crowd.open(application=f"orders{number}", sql="begin")
    idle(server, 5)

    first = reasons(reaper, replace(POLICY, at_most=2))

    assert first == {
        "orders0": Reason.ENDED,
        "orders1": Reason.ENDED,
        "orders2": Reason.OVER_THE_MOST,
        "orders3": Reason.OVER_THE_MOST,
        "orders4": Reason.OVER_THE_MOST,
    }


@pytest.mark.parametrize("last", ["select 1", "commit", "begin", "set application_name = 'x'"])
def test_one_that_came_back_to_life_after_the_look_is_spared(
    server: Postgres, crowd: Crowd, reaper: Broker, last: str
) -> None:
    [connection] = crowd.open(application="orders", sql="begin")
    idle(server, 1)
    verdicts = judge(look(reaper), POLICY)
    assert [verdict.reason for verdict in verdicts] == [Reason.END]
    connection.run(last)

    assert [v.reason for v in reap(reaper, verdicts, POLICY)] == [Reason.WOKE_UP]

    connection.run("select 1")


def test_one_that_is_at_work_again_is_spared(
    server: Postgres, crowd: Crowd, reaper: Broker
) -> None:
    [connection] = crowd.open(application="orders", sql="begin")
    idle(server, 1)
    verdicts = judge(look(reaper), POLICY)
    crowd.start(connection, "select pg_sleep(2)")
    active = "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'"
    wait_until(lambda: server.admin(active)[0][0] == 1, "it to be at work")

    assert [v.reason for v in reap(reaper, verdicts, POLICY)] == [Reason.WOKE_UP]


def test_without_the_right_to_end_it_says_so(server: Postgres, crowd: Crowd) -> None:
    crowd.open(application="orders", sql="begin")
    idle(server, 1)
    with Broker(settings(address_of(server, "watcher"))) as db:
        assert reasons(db) == {"orders": Reason.NOT_ALLOWED}


def test_replication_and_prepared_transactions_are_left_alone(
    server: Postgres, crowd: Crowd, reaper: Broker
) -> None:
    crowd.open(application="orders", sql="begin; select 1; prepare transaction 'kept'")
    crowd.connections[0].close()
    server.create_role("standby", PASSWORD, attributes="replication")
    try:
        sender = pg8000.native.Connection(
            "standby",
            host=server.host,
            port=server.port,
            password=PASSWORD,
            replication="true",
            application_name="orders-standby",
            ssl_context=False,
        )
        crowd.connections.append(sender)
        time.sleep(0.3)
        assert reasons(reaper, replace(POLICY, roles=("*",))) == {}
        assert server.admin("select gid from pg_prepared_xacts") == [["kept"]]
    finally:
        server.admin("rollback prepared 'kept'")
        crowd.close()
        server.admin("drop role standby")


SLEEPERS, ROUNDS = 50, 20  # 1,000 sessions
IDLE_S = 0.3
GRACE_S = 0.1  # longer than the server takes between its look and the signal


@pytest.mark.slow
def test_of_a_thousand_sessions_that_wake_at_random_none_at_work_is_ended() -> None:
    """A session is ended only if it had not come back before the signal, or just at it."""
    policy = Policy(("sleeper*",), ("app",), idle_s=IDLE_S, at_most=SLEEPERS)
    rng = random.Random(6)
    outcomes: list[tuple[float, float]] = []
    with Postgres({"max_connections": str(SLEEPERS + 20)}) as server:
        server.create_role("app", PASSWORD)
        with Broker(settings(address_of(server))) as db:
            for _ in range(ROUNDS):
                outcomes += a_round(server, db, policy, rng)
    ended = [outcome for outcome in outcomes if outcome[1]]
    assert len(outcomes) == SLEEPERS * ROUNDS
    assert len(ended) > len(outcomes) / 10, "many were ended"
    assert len(ended) < len(outcomes) * 9 / 10, "many were spared"
    assert [outcome for outcome in ended if outcome[0] > GRACE_S] == []


def a_round(
    server: Postgres, db: Broker, policy: Policy, rng: random.Random
) -> list[tuple[float, float]]:
    """Return, for each session, how long it was at work when it was ended, and whether it was."""
    outcomes: list[tuple[float, float]] = []
    over = threading.Event()

    def sleeper(number: int, wakes_after_s: float) -> None:
        connection = pg8000.native.Connection(
            "app",
            host=server.host,
            port=server.port,
            password=PASSWORD,
            database="postgres",
            application_name=f"sleeper{number}",
            ssl_context=False,
        )
        connection.run("begin")
        time.sleep(wakes_after_s)
        woke = time.monotonic()
        try:
            while not over.is_set():  # at work from here on: never idle for long
                connection.run("select pg_sleep(0.2)")
            connection.run("rollback")
        except (pg8000.native.Error, OSError):
            outcomes.append((time.monotonic() - woke, True))
        else:
            outcomes.append((0.0, False))
        with suppress(pg8000.native.Error, OSError):
            connection.close()

    threads = [
        threading.Thread(target=sleeper, args=(n, rng.uniform(0, 4 * IDLE_S)))
        for n in range(SLEEPERS)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 5 * IDLE_S
    while time.monotonic() < until:
        verdicts = judge(look(db), policy)
        time.sleep(2 * GRACE_S)  # in which some wake up
        reap(db, verdicts, policy)
    over.set()
    for thread in threads:
        thread.join()
    return outcomes
