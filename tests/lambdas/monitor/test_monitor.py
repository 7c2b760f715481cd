"""The monitor in a function's environment, on real servers: its figures, and what it survives."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pg8000.native
import pytest

from broker import ConfigurationError
from broker.local.postgres import Postgres
from broker.observe.diagnosis import diagnose
from broker.observe.thresholds import Thresholds
from lambdas.monitor.handler import handler
from lambdas.monitor.watch import watch
from tests.lambdas.emf import figures
from tests.wait import wait_until

NAMESPACE = "Tested"
SERVER = ("server=orders-db",)
PASSWORD = "pass"
Figures = dict[tuple[str, ...], dict[str, float]]


class Context:
    function_name = "monitor"
    aws_request_id = "r-1"

    def get_remaining_time_in_millis(self) -> int:
        return 3_000


@pytest.fixture(scope="module", params=["18", "platform"])
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Run PostgreSQL 18, and the platform's own version where there is one, with a monitor."""
    if request.param == "platform":
        request.getfixturevalue("postgres_tls")  # skips, saying why, where there is none
    settings = {"max_connections": "12"}
    with Postgres(settings, tls=request.param == "platform") as made:
        made.create_role("app", PASSWORD)
        made.create_role("monitor", PASSWORD, attributes="in role pg_monitor", connection_limit=1)
        yield made


@pytest.fixture
def environ(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set what infra sets; each test has an execution environment of its own."""
    variables = {
        "SERVER": "orders-db",
        "BROKER_HOST": server.host,
        "BROKER_PORT": str(server.port),
        "BROKER_DATABASE": "postgres",
        "BROKER_USER": "monitor",
        "BROKER_PASSWORD": PASSWORD,
        "BROKER_FLAVOUR": "direct",
        "BROKER_TLS": "verify-full" if server._certificates else "off",
        "BROKER_METRICS_NAMESPACE": NAMESPACE,
    }
    if server._certificates:
        variables["BROKER_TLS_CA"] = str(server.ca_file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    watch.cache_clear()
    yield monkeypatch
    if watch.cache_info().currsize:
        watch().db.close()
    watch.cache_clear()


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[dict[str, Any], Figures]]:
    def once() -> tuple[dict[str, Any], Figures]:
        told = handler({}, Context())
        return told, figures(capsys.readouterr().out.splitlines(), NAMESPACE)

    return once


@pytest.fixture
def sessions(server: Postgres) -> Iterator[Callable[..., list[pg8000.native.Connection]]]:
    opened: list[pg8000.native.Connection] = []

    def start(count: int, application: str = "web") -> list[pg8000.native.Connection]:
        made = [
            pg8000.native.Connection(
                "app",
                host=server.host,
                port=server.port,
                password=PASSWORD,
                database="postgres",
                application_name=application,
                ssl_context=server.client_context() if server._certificates else False,
            )
            for _ in range(count)
        ]
        opened.extend(made)
        return made

    yield start
    for connection in opened:
        with suppress(pg8000.native.Error, OSError):
            connection.close()
    left = "select count(*) from pg_stat_activity where usename = 'app'"
    wait_until(lambda: server.admin(left)[0][0] == 0, "the sessions to end")


def test_a_quiet_server_has_a_heartbeat_and_no_finding(environ, look) -> None:
    told, found = look()
    assert told == {"sessions": 1, "findings": 0}
    assert found[SERVER] == {
        "Heartbeat": 1,
        "MaxConnections": 12,
        "SessionsUsed": 1,
        "SessionsUsedPercent": pytest.approx(100 / 12),
        "IdleInTransaction": 0,
        "OldestIdleInTransactionSeconds": 0,
        "OldestTransactionSeconds": 0,
        "Waiting": 0,
        "Blocked": 0,
        "MonitorRefused": 0,
        "MonitorUnreachable": 0,
        "Findings": 0,
    }


def test_the_second_look_uses_the_same_session_and_counts_what_ended_since(
    environ, look, server: Postgres, sessions
) -> None:
    look()
    pid = "select pid from pg_stat_activity where usename = 'monitor'"
    first = server.admin(pid)
    sessions(2)
    server.admin("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
    counted = "select sessions_killed from pg_stat_database where datname = 'postgres'"
    wait_until(lambda: server.admin(counted)[0][0] >= 2, "the server to count them")

    _, found = look()

    assert found[SERVER]["DatabaseSessionsKilled"] == 2
    assert found[SERVER]["DatabaseSessionsAbandoned"] == 0
    assert server.admin(pid) == first


def test_states_applications_and_what_waits(environ, look, sessions) -> None:
    """Generations of one application are one metric: it must not grow with each deploy."""
    holder, waiter = sessions(2, "orders:7")
    sessions(1, "orders:8")
    holder.run("begin")
    holder.run("select pg_advisory_xact_lock(7)")
    waiting = threading.Thread(target=lambda: waiter.run("select pg_advisory_lock(7)"))
    waiting.start()
    try:

        def blocked() -> Figures:
            found: Figures = look()[1]
            return found if found[SERVER]["Blocked"] else {}

        found = wait_until(blocked, "one to be blocked")
    finally:
        holder.run("rollback")
        waiting.join()
    assert found[SERVER]["Waiting"] == 1
    assert found[SERVER]["IdleInTransaction"] == 1
    assert found[SERVER]["OldestIdleInTransactionSeconds"] >= 0
    assert found[SERVER]["OldestTransactionSeconds"] > 0
    assert found["application=orders", *SERVER]["SessionsByApplication"] == 3
    assert found[(*SERVER, "state=idle in transaction")]["SessionsByState"] == 1


def test_many_applications_are_bounded(environ, look, sessions) -> None:
    for number in range(8):
        sessions(1, f"app{number}x")
    environ.setattr("lambdas.monitor.figures.APPLICATIONS", 3)
    _, found = look()
    names = [key for key in found if key[0].startswith("application=")]
    assert len(names) == 4
    assert found["application=(others)", *SERVER]["SessionsByApplication"] == 6


def test_findings_are_the_doctors_and_are_logged_without_statements(
    environ, look, server: Postgres, sessions, caplog: pytest.LogCaptureFixture
) -> None:
    server.admin("alter role app connection limit 2")
    for connection in sessions(2):
        connection.run("select 'a secret literal'")
    with caplog.at_level(logging.INFO):
        told, found = look()
    server.admin("alter role app connection limit -1")
    assert told["findings"] == found[SERVER]["Findings"] == 1
    assert found[("kind=role_limit", *SERVER)] == {"FindingsByKind": 1}
    assert "The role app has 2 of its 2 sessions" in caplog.text
    assert "a secret literal" not in caplog.text


def test_a_finding_whose_evidence_quotes_statements_is_logged_without_it(
    environ, look, sessions, caplog: pytest.LogCaptureFixture
) -> None:
    """As the doctor shows them: of who holds a lock, and of those that wait for it."""
    at_once = functools.partial(diagnose, thresholds=Thresholds(blocked_s=0.0))
    environ.setattr("lambdas.monitor.watch.diagnose", at_once)
    holder, waiter = sessions(2)
    holder.run("begin")
    holder.run("select pg_advisory_xact_lock(7), 'a secret literal'")
    sql = "select pg_advisory_lock(7), 'a secret literal'"
    waiting = threading.Thread(target=lambda: waiter.run(sql))
    waiting.start()
    try:
        kind = ("kind=blocked", *SERVER)
        with caplog.at_level(logging.INFO):
            wait_until(lambda: kind in look()[1], "the finding")
    finally:
        holder.run("rollback")
        waiting.join()
    assert "is waited for by 1 session" in caplog.text
    assert "a secret literal" not in caplog.text


def test_a_server_that_is_full_is_told_as_such_and_no_failure(environ, look, sessions) -> None:
    sessions(9)
    told, found = look()
    assert told == {"refused": "reserved", "findings": 1}
    assert found[SERVER] == {
        "Heartbeat": 1,
        "MonitorRefused": 1,
        "MonitorUnreachable": 0,
        "Findings": 1,
    }
    assert found[("reason=reserved", *SERVER)] == {"MonitorRefusedByReason": 1}
    assert found[("kind=refused", *SERVER)] == {"FindingsByKind": 1}


def test_a_server_that_is_away_is_told_as_such_and_no_failure(environ, look) -> None:
    """Whoever connects gets the same: that is an outage, and no matter of places or of who asks."""
    look()
    with Postgres() as elsewhere:
        gone = elsewhere.port
    environ.setenv("BROKER_PORT", str(gone))
    watch().db.close()
    watch.cache_clear()
    told, found = look()
    assert told == {"refused": "refused", "findings": 1}
    assert found[SERVER]["MonitorUnreachable"] == found[SERVER]["Heartbeat"] == 1


def test_a_login_of_its_own_that_fails_is_no_outage(environ, look) -> None:
    environ.setenv("BROKER_PASSWORD", "wrong")
    told, found = look()
    assert told == {"refused": "authentication", "findings": 1}
    assert (found[SERVER]["MonitorRefused"], found[SERVER]["MonitorUnreachable"]) == (1, 0)


def test_once_it_is_in_a_full_server_does_not_blind_it(environ, look, sessions) -> None:
    look()
    sessions(8)
    told, found = look()
    assert told["sessions"] == 9
    assert found[SERVER]["SessionsUsed"] == 9


def test_refusals_of_an_earlier_look_are_no_finding_of_a_later(environ, look, sessions) -> None:
    connections = sessions(9)
    assert "refused" in look()[0]
    for connection in connections[:6]:
        connection.close()
    assert wait_until(lambda: look()[0].get("sessions"), "a place to be free") <= 5
    assert look()[0]["findings"] == 0


def test_a_reserved_place_lets_it_in(environ, look, server: Postgres, sessions) -> None:
    """PostgreSQL 16+; here the places that superusers have stand for them."""
    server.admin("alter role monitor superuser")
    try:
        sessions(9)
        told, found = look()
        assert told["sessions"] == 10
        assert found[("kind=full", *SERVER)] == {"FindingsByKind": 1}
    finally:
        server.admin("alter role monitor nosuperuser")


def test_a_monitor_without_a_servers_name_says_which_variable(environ) -> None:
    environ.delenv("SERVER")
    with pytest.raises(ConfigurationError, match="SERVER is missing"):
        handler({}, Context())
