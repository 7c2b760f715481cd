"""What is printed is EMF as CloudWatch reads it, and no metric ever fails a request.

Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.metrics import COUNTS, Metrics
from broker.reuse import Reason
from broker.settings import Flavour
from broker.stats import TIMINGS_KEPT, Recorder
from tests.unit import fakes

ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "orders"}


def check(line: dict[str, Any]) -> dict[str, list[float]]:
    """Fail unless CloudWatch would take the line; return its metrics."""
    assert isinstance(line["_aws"]["Timestamp"], int)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert 1 <= len(directive["Metrics"]) <= 100
    (dimensions,) = directive["Dimensions"]
    assert len(dimensions) <= 30
    for name in dimensions:
        assert isinstance(line[name], str)
        assert 1 <= len(line[name]) <= 1024
    values = {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
    for metric in directive["Metrics"]:
        assert metric["Unit"] in ("Count", "Milliseconds")
        numbers = line[metric["Name"]]
        assert 1 <= len(numbers) <= 100
        assert all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
    assert set(line) == {"_aws", *dimensions, *values}
    return values


def emitted(recorder: Recorder, capsys, **changes: Any) -> list[dict[str, Any]]:
    Metrics(fakes.settings(**changes), ON_LAMBDA).emit(recorder.take())
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def dimensions(line: dict[str, Any]) -> dict[str, str]:
    (names,) = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    return {name: line[name] for name in names}


def test_the_counts_of_an_invocation_are_one_line(capsys):
    recorder = Recorder()
    recorder.connected(12.5)
    recorder.count("too_many_connections")
    recorder.count("too_many_connections")
    recorder.waited(3.0)

    (line,) = emitted(recorder, capsys)

    assert check(line) == {
        "SessionsOpened": [1.0],
        "TooManyConnections": [2.0],
        "ConnectTime": [12.5],
        "CheckoutWait": [3.0],
    }
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "LambdaPgBroker"


def test_the_dimensions_are_the_function_and_the_flavour(capsys):
    recorder = Recorder()
    recorder.count("reused")
    (line,) = emitted(recorder, capsys, flavour=Flavour.RDS_PROXY)

    assert dimensions(line) == {"function": "orders", "flavour": "rds-proxy"}


def test_the_dimensions_stay_the_same_next_to_powertools_own_settings(capsys, monkeypatch):
    """Alarms name their dimensions: one more would leave them without data."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Other")
    recorder = Recorder()
    recorder.count("reused")
    recorder.replaced(Reason.LEAKED)
    ordinary, replaced = emitted(recorder, capsys)

    assert dimensions(ordinary) == {"function": "orders", "flavour": "pgbouncer"}
    assert dimensions(replaced) == {**dimensions(ordinary), "reason": "leaked"}
    assert ordinary["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "LambdaPgBroker"


def test_outside_of_lambda_the_function_is_the_applications_name(capsys):
    recorder = Recorder()
    recorder.count("reused")
    Metrics(fakes.settings(application_name="script"), {}).emit(recorder.take())

    assert json.loads(capsys.readouterr().out)["function"] == "script"


def test_replaced_sessions_are_a_line_for_each_reason(capsys):
    recorder = Recorder()
    for reason in (Reason.LEAKED, Reason.LEAKED, Reason.CLOSED):
        recorder.replaced(reason)

    lines = emitted(recorder, capsys)

    assert [(line["reason"], check(line)) for line in lines] == [
        ("leaked", {"SessionsReplaced": [2.0]}),
        ("closed", {"SessionsReplaced": [1.0]}),
    ]


@pytest.mark.parametrize("what", sorted(COUNTS))
def test_every_count_has_a_metric(what, capsys):
    recorder = Recorder()
    recorder.count(what)

    assert list(check(emitted(recorder, capsys)[0])) == [COUNTS[what]]


def test_every_count_that_stats_shows_has_a_metric():
    fields = set(Recorder().stats(sessions_open=0, sessions_idle=0)._fields)

    assert fields - {"sessions_open", "sessions_idle", "replaced"} == set(COUNTS)


def test_nothing_counted_is_nothing_printed(capsys):
    assert emitted(Recorder(), capsys) == []


@pytest.mark.parametrize("count", [TIMINGS_KEPT - 1, TIMINGS_KEPT, TIMINGS_KEPT + 1])
def test_an_invocation_with_as_many_timings_as_are_kept_is_printed_whole(count, capsys, caplog):
    """EMF takes 100 values of a metric in one line."""
    recorder = Recorder()
    for n in range(count):
        recorder.connected(float(n))
    recorder.replaced(Reason.LEAKED)

    lines = emitted(recorder, capsys)

    assert caplog.records == []
    printed = [check(line) for line in lines]
    assert sum(len(values.get("ConnectTime", [])) for values in printed) == min(count, TIMINGS_KEPT)
    assert [v["SessionsOpened"] for v in printed if "SessionsOpened" in v] == [[float(count)]]
    assert [v["SessionsReplaced"] for v in printed if "SessionsReplaced" in v] == [[1.0]]


events = st.one_of(
    st.sampled_from(sorted(COUNTS)).map(lambda what: ("count", what)),
    st.sampled_from(Reason).map(lambda reason: ("replaced", reason)),
    st.floats(0, 1e7).map(lambda ms: ("connected", ms)),
    st.floats(0, 1e7).map(lambda ms: ("waited", ms)),
)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(events, max_size=90))
def test_whatever_happened_is_valid_and_complete(capsys, happened):
    recorder = Recorder()
    for method, value in happened:
        getattr(recorder, method)(value)

    lines = emitted(recorder, capsys)

    said = sum(
        sum(values)
        for line in lines
        for name, values in check(line).items()
        if name not in ("ConnectTime", "CheckoutWait")
    )
    assert said == sum(method != "waited" for method, _ in happened)


def test_a_metric_that_cannot_be_printed_fails_no_request_and_is_logged(capsys, caplog):
    recorder = Recorder()
    recorder.count("unheard_of")

    assert emitted(recorder, capsys) == []
    assert [record.getMessage() for record in caplog.records] == [
        "the invocation's metrics were not emitted"
    ]


def test_no_secret_is_in_a_metric(capsys):
    recorder = Recorder()
    recorder.count("reused")
    Metrics(fakes.settings(), {}).emit(recorder.take())

    assert "s3cret" not in capsys.readouterr().out
