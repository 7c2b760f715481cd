"""The reaper's function on a real server: what it ends, what it logs, and what it counts."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

import pg8000.native
import pytest

from broker import ConfigurationError
from broker.local.postgres import Postgres
from broker.observe.verdict import Policy
from lambdas.reaper.handler import handler
from lambdas.reaper.rules import Rules
from lambdas.reaper.run import database
from tests.lambdas.emf import figures
from tests.lambdas.monitor.test_monitor import Context
from tests.wait import wait_until

PASSWORD = "pass"
ENVIRON = {"SERVER": "db", "APPLICATIONS": "orders:* web", "ROLES": "app", "IDLE_S": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres({"max_connections": "20"}) as made:
        made.create_role("app", PASSWORD)
        groups = "in role pg_monitor, pg_signal_backend"
        made.create_role("reaper", PASSWORD, attributes=groups, connection_limit=1)
        yield made


@pytest.fixture
def environ(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    variables = {
        **ENVIRON,
        "BROKER_HOST": server.host,
        "BROKER_PORT": str(server.port),
        "BROKER_DATABASE": "postgres",
        "BROKER_USER": "reaper",
        "BROKER_PASSWORD": PASSWORD,
        "BROKER_FLAVOUR": "direct",
        "BROKER_TLS": "off",
        "BROKER_METRICS_NAMESPACE": "Tested",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    database.cache_clear()
    yield monkeypatch
    if database.cache_info().currsize:
        database().close()
    database.cache_clear()


@pytest.fixture
def idle(server: Postgres) -> Iterator[pg8000.native.Connection]:
    """Leave a session idle in transaction, after a statement that the broker commented."""
    connection = pg8000.native.Connection(
        "app",
        host=server.host,
        port=server.port,
        password=PASSWORD,
        database="postgres",
        application_name="orders:7",
        ssl_context=False,
    )
    connection.run("begin")
    connection.run("select 'a secret literal'/*request_id='abc-123'*/")
    old = "select 1 from pg_stat_activity where state_change < now() - interval '1.1 s'"
    wait_until(lambda: server.admin(f"{old} and usename = 'app'"), "it to idle for long enough")
    yield connection
    with suppress(pg8000.native.Error, OSError):
        connection.close()


def run(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, int], dict[str, float]]:
    counts = handler({}, Context())
    found = figures(capsys.readouterr().out.splitlines(), "Tested")
    return counts, found[("server=db",)]


def test_by_default_it_only_says_what_it_would_end(environ, idle, capsys) -> None:
    counts, found = run(capsys)
    assert counts == {"to_end": 1}
    assert found["SessionsToReap"] == 1
    assert found["SessionsReaped"] == 0
    idle.run("select 1")


def test_it_ends_and_leaves_a_log_line_with_the_evidence_and_no_statement(
    environ, idle, capsys, caplog: pytest.LogCaptureFixture
) -> None:
    environ.setenv("END", "1")
    with caplog.at_level(logging.INFO):
        counts, found = run(capsys)
    assert counts == {"ended": 1}
    assert found["SessionsReaped"] == 1
    with pytest.raises((pg8000.native.Error, OSError)):
        idle.run("select 1")
    [line] = [json.loads(r.message) for r in caplog.records if r.name == "reaper"]
    assert line["verdict"] == "ended"
    assert (line["application"], line["role"]) == ("orders:7", "app")
    assert line["idle_s"] >= 1
    assert line["request_id"] == "abc-123"
    assert "a secret literal" not in caplog.text


def test_what_does_not_match_is_spared_and_not_logged(environ, idle, capsys, caplog) -> None:
    environ.setenv("END", "1")
    environ.setenv("EXCLUDED", "orders:7")
    counts, found = run(capsys)
    assert counts == {"excluded": 1}
    assert set(found.values()) == {0}
    idle.run("select 1")


def test_the_rules_come_from_the_environment() -> None:
    assert Rules.from_env(ENVIRON) == Rules(
        "db", Policy(("orders:*", "web"), ("app",), (), 1.0, 10), False
    )
    rules = Rules.from_env({**ENVIRON, "END": "1", "AT_MOST": "3", "EXCLUDED": "a b"})
    assert (rules.end, rules.policy.at_most, rules.policy.excluded) == (True, 3, ("a", "b"))
    assert Rules.from_env({**ENVIRON, "IDLE_S": ""}).policy.idle_s == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"APPLICATIONS": " "}, "APPLICATIONS is missing"),
        ({"ROLES": ""}, "ROLES is missing"),
        ({"SERVER": ""}, "SERVER is missing"),
        ({"END": "yes"}, "END='yes': expected '1' or '0'"),
        ({"IDLE_S": "5min"}, "IDLE_S='5min': expected a number"),
        ({"IDLE_S": "nan"}, "IDLE_S='nan': expected a number"),
        ({"AT_MOST": "0"}, "AT_MOST='0': expected a number"),
    ],
)
def test_a_wrong_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rules.from_env({**ENVIRON, **change})


def test_a_dry_run_takes_one_session_and_gives_up_on_a_lock(environ, server, capsys) -> None:
    started = time.monotonic()
    assert run(capsys)[0] == {}
    held = "select count(*) from pg_stat_activity where usename = 'reaper'"
    assert server.admin(held)[0][0] == 1
    assert time.monotonic() - started < 30
