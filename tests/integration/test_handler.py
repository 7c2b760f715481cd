"""@db.handler: the deadline, the name on the statements, leaks, metrics."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from broker import Broker, TransactionEnded
from broker.local.pgbouncer import PgBouncer
from tests.conftest import Database
from tests.wait import wait_until

Brokers = Callable[..., Broker]


class Context:
    """What Lambda hands a handler."""

    function_name = "orders"
    function_version = "7"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"

    def __init__(self, left_ms: int = 30_000, request_id: str = "8f5b-11") -> None:
        self.left_ms = left_ms
        self.aws_request_id = request_id

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


def emitted(text: str) -> dict[str, Any]:
    """Return the metrics of all EMF lines in what was printed, by name."""
    values: dict[str, Any] = {}
    for line in text.splitlines():
        data = json.loads(line)
        for metric in data["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            values[metric["Name"]] = data[metric["Name"]]
    return values


def test_statements_carry_the_request_and_sessions_the_function(
    database: Database, monkeypatch: pytest.MonkeyPatch, pgbouncer: Callable[..., PgBouncer]
) -> None:
    for name, value in {
        "BROKER_HOST": database.server.host,
        "BROKER_PORT": str(pgbouncer().port),
        "BROKER_DATABASE": database.name,
        "BROKER_USER": database.user,
        "BROKER_PASSWORD": database.password,
        "BROKER_TLS": "off",
        "AWS_LAMBDA_FUNCTION_NAME": "orders",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
    }.items():
        monkeypatch.setenv(name, value)
    with Broker.from_env() as db:

        @db.handler
        def handler(event: Any, context: Any) -> list[Any]:
            sql = (
                "select application_name, query from pg_stat_activity where pid = pg_backend_pid()"
            )
            return db.run(sql).one()

        name, query = handler({}, Context(request_id="it's; 1"))
    assert name == "orders:7"
    assert query.endswith("/*request_id='it%27s%3B%201'*/")


def test_the_deadline_is_what_the_invocation_has_left_less_the_margin(broker_to: Brokers) -> None:
    db = broker_to(margin_s=2.0)

    @db.handler
    def handler(event: Any, context: Any) -> str:
        return str(db.run("select current_setting('statement_timeout')").scalar())

    shown = handler({}, Context(left_ms=5000))
    assert shown.endswith("ms")
    assert 2000 < int(shown[:-2]) < 3000


def test_a_transaction_left_open_is_rolled_back_and_reported_with_its_place(
    broker_to: Brokers,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    db = broker_to()
    db.run("create table t (n int)")
    kept: list[Any] = []

    @db.handler
    def handler(event: Any, context: Any) -> None:
        block = db.transaction()
        kept.append(block)
        block.__enter__().run("insert into t values (1)")  # the line to be named

    with caplog.at_level(logging.ERROR, "broker"):
        handler({}, Context())
    sql = "select count(*) from pg_stat_activity where usename = :role and xact_start is not null"
    wait_until(
        lambda: database.server.admin(sql, role=database.user) == [[0]],
        "the transaction to be gone from the server",
    )
    with open(__file__) as source:  # noqa: PTH123
        line = 1 + next(i for i, text in enumerate(source) if "the line to be named" in text)
    assert f"test_handler.py:{line}" in caplog.text
    assert emitted(capsys.readouterr().out)["Leaks"] == [1.0]
    assert db.run("select count(*) from t").scalar() == 0
    with db.transaction() as tx:  # the next one is not taken for a nested one
        tx.run("insert into t values (2)")
        kept.clear()  # the leaked block ends now, and must not touch the new one
    assert db.run("select n from t").scalar() == 2


def test_a_session_that_a_thread_opens_after_the_end_is_not_frozen_with(
    broker_to: Brokers, database: Database
) -> None:
    db = broker_to(max_sessions=2)
    opening, ended = threading.Event(), threading.Event()
    real = db._pool._open_session
    refused: list[Exception] = []

    def slowly(deadline: Any) -> Any:
        opening.set()
        ended.wait(30)
        return real(deadline)

    db._pool._open_session = slowly

    def work() -> None:
        try:
            with db.transaction() as tx:
                tx.run("select 1")
        except TransactionEnded as error:
            refused.append(error)

    thread = threading.Thread(target=work)

    @db.handler
    def handler(event: Any, context: Any) -> None:
        thread.start()
        opening.wait(30)

    handler({}, Context())
    ended.set()
    thread.join(30)
    assert "invocation" in str(refused[0])
    wait_until(lambda: database.backends() == 0, "the late session to be closed")


def test_metrics_count_what_the_invocation_did(
    broker_to: Brokers, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    db = broker_to(fresh_s=0.0)

    @db.handler
    def handler(event: Any, context: Any) -> None:
        db.run("select 1")

    handler({}, Context())
    first = emitted(capsys.readouterr().out)
    assert first["SessionsOpened"] == [1.0]
    assert len(first["ConnectTime"]) == 1
    handler({}, Context())
    assert emitted(capsys.readouterr().out) == {"SessionsReused": [1.0]}
    database.kill_backends()
    handler({}, Context())
    lines = capsys.readouterr().out.splitlines()
    replaced = next(json.loads(line) for line in lines if "SessionsReplaced" in line)
    assert replaced["reason"] == "ended_by_server"
    assert replaced["SessionsReplaced"] == [1.0]


def test_an_invocation_without_the_database_prints_nothing(
    broker_to: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    @broker_to().handler
    def handler(event: Any, context: Any) -> str:
        return "done"

    assert handler({}, None) == "done"
    assert capsys.readouterr().out == ""


def test_the_handlers_own_exception_comes_out_and_the_metrics_too(
    broker_to: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    db = broker_to()

    @db.handler
    def handler(event: Any, context: Any) -> None:
        db.run("select 1")
        raise KeyError("customer")

    with pytest.raises(KeyError):
        handler({}, Context())
    assert "SessionsOpened" in emitted(capsys.readouterr().out)


@pytest.mark.parametrize("broker_is_outermost", [True, False])
def test_it_works_next_to_powertools_own_decorators(
    broker_is_outermost: bool, broker_to: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    db = broker_to()
    metrics = Metrics(namespace="Shop", service="orders")
    logger = Logger(service="orders")

    def function(event: Any, context: Any) -> int:
        metrics.add_metric("Orders", MetricUnit.Count, 1)
        return int(db.run("select 1").scalar())

    def powertools(inner: Callable[..., Any]) -> Callable[..., Any]:
        return metrics.log_metrics(logger.inject_lambda_context(inner))

    handler = (
        db.handler(powertools(function))
        if broker_is_outermost
        else powertools(db.handler(function))
    )
    assert handler({}, Context()) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_namespace = {line["_aws"]["CloudWatchMetrics"][0]["Namespace"]: line for line in lines}
    assert set(by_namespace) == {"Shop", "LambdaPgBroker"}
    assert "Orders" not in by_namespace["LambdaPgBroker"]
