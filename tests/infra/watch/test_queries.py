"""The saved queries find what they say, in the lines that the code really writes."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import pg8000.native
import pytest

from broker import Broker
from broker.cli.dsn import settings
from broker.metrics import Metrics
from broker.observe.verdict import Policy
from broker.reuse import Reason
from broker.stats import Tally
from infra.queries import RETRIES_BY_CAUSE, TOP_APPLICATIONS, WHO_WAS_REAPED
from lambdas.monitor.watch import Watch
from lambdas.reaper.rules import Rules
from lambdas.reaper.run import run as reap
from tests.conftest import Database
from tests.infra.watch.insights import Unknown, parsed, run
from tests.wait import wait_until

LAMBDA_S = "[{}]\t2026-11-27T23:00:00.000Z\tr-1\t{}"  # how its runtime writes a line of logging
OTHERS = ["START RequestId: r-1 Version: $LATEST", "REPORT RequestId: r-1\tDuration: 3 ms"]
IDLE = """select 1 from pg_stat_activity where usename = :role
          and state_change < clock_timestamp() - interval '1.1 s'"""


@pytest.fixture
def watcher(database: Database) -> Broker:
    return Broker(settings(database.server.dsn() + "?sslmode=disable"))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [LAMBDA_S.format(each.levelname, each.getMessage()) for each in caplog.records]


def test_top_applications_by_sessions(
    database: Database, watcher: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    held = [Broker(database.settings(application_name=f"orders:{n}")) for n in (7, 8)]
    held.append(Broker(database.settings(application_name="billing")))
    with watcher as db:
        for each in held:
            each.run("select 1")
        Watch(db, "db").look()
    for each in held:
        each.close()
    found = run(TOP_APPLICATIONS, [*OTHERS, *capsys.readouterr().out.splitlines()])
    told = {row["application"]: (row["most"], row["mean"]) for row in found}
    assert told["orders"] == (2, 2)
    assert told["billing"] == (1, 1)
    assert found[0]["most"] == max(row["most"] for row in found)


def test_who_was_reaped(
    database: Database, watcher: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy(("orders*",), (database.user,), idle_s=1.0)
    idle = database.connect()
    idle.run("set application_name = 'orders:7'")
    idle.run("begin")
    idle.run("select 1/*request_id='abc-123'*/")
    wait_until(lambda: database.server.admin(IDLE, role=database.user), "it to idle for a second")
    with watcher as db, caplog.at_level(logging.WARNING):
        reap(db, Rules("db", policy, end=True))
    with suppress(pg8000.native.Error, OSError):
        idle.close()
    (row,) = run(WHO_WAS_REAPED, [*OTHERS, *logged(caplog)])
    assert (row["verdict"], row["application"], row["role"], row["database"]) == (
        "ended",
        "orders:7",
        database.user,
        database.name,
    )
    assert row["idle_s"] >= 1
    assert row["request_id"] == "abc-123"


def tally(**counts: int) -> Tally:
    made = Tally()
    made.counts.update(counts)
    return made


def test_retries_by_cause(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a function that met 53300 when it had no time left to try again."""
    replaced = tally(reused=1)
    replaced.replaced[Reason.ENDED_BY_SERVER] = 2
    for name, counted in (
        ("orders", tally(connect_retries=3, too_many_connections=4)),
        ("orders", tally(transaction_retries=1)),
        ("reports", tally(too_many_connections=1)),
        ("reports", replaced),
        ("quiet", tally(reused=5)),
    ):
        given = replace(database.settings(), application_name=name)
        Metrics(given, {}).emit(counted)
    found = run(RETRIES_BY_CAUSE, [*OTHERS, *capsys.readouterr().out.splitlines()])
    told = {(row.pop("function"), row.pop("reason")): row for row in found}
    nothing = dict.fromkeys(
        (
            "too_many_connections",
            "connect_retries",
            "transaction_retries",
            "sessions_replaced",
        ),
        0,
    )
    assert told == {
        ("orders", None): {
            **nothing,
            **{"too_many_connections": 4, "connect_retries": 3, "transaction_retries": 1},
        },
        ("reports", None): {**nothing, "too_many_connections": 1},
        ("reports", "ended_by_server"): {**nothing, "sessions_replaced": 2},
    }
    assert next(iter(told)) == ("orders", None), "the most retries first"


def test_a_query_for_what_nobody_writes_is_found_out() -> None:
    line = '{"a": 1, "b": [2]}'
    assert parsed(LAMBDA_S.format("WARNING", line)) == {"a": 1, "b.0": 2}
    assert run("fields a\n| filter ispresent(b.0)", [line, '{"a": 2}']) == [{"a": 1}]
    for query in ("fields c", "fields a\n| filter ispresent(b)", "stats max(b) as m by a"):
        with pytest.raises(Unknown):
            run(query, [line])
