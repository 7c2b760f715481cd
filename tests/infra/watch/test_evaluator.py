"""The evaluator does what CloudWatch's documentation says, in its own examples."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import pytest

from tests.infra.watch.evaluator import Composite, Key, Metric, Point, State, play

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT
KEPT = "kept"
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def metric(points: int, periods: int, missing: str) -> Metric:
    key = ("N", "m", "Sum")
    return Metric("A", {"m": key}, "m", operator.gt, 0.5, points, periods, missing)


def read(text: str) -> list[Point]:
    return [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in text.split()]


THREE_OF_THREE = [
    ("0 - X - X", (OK, OK, OK, OK)),
    ("0 - - - -", (OK, OK, OK, OK)),
    ("- - - - -", (NO_DATA, KEPT, ALARM, OK)),
    ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("- - X - -", (ALARM, KEPT, ALARM, OK)),
]
TWO_OF_THREE = [
    ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 - X - -", (OK, OK, ALARM, OK)),
    ("- - - - 0", (OK, OK, ALARM, OK)),
    ("- - - - X", (ALARM, KEPT, ALARM, OK)),
]


@pytest.mark.parametrize(
    ("points", "text", "expected"),
    [(3, *row) for row in THREE_OF_THREE] + [(2, *row) for row in TWO_OF_THREE],
)
def test_missing_data_is_treated_as_the_documentation_s_tables_have_it(
    points: int, text: str, expected: tuple[State | str, ...]
) -> None:
    for missing, wanted in zip(TREATMENTS, expected, strict=True):
        for before in State:
            state = metric(points, 3, missing).next(before, read(text))
            assert state is (before if wanted == KEPT else wanted), missing


def test_a_composite_is_what_its_rule_says() -> None:
    states = {"a": ALARM, "b": OK, "c": NO_DATA}
    for rule, wanted in {
        'ALARM("a")': ALARM,
        '(ALARM("a") AND ALARM("b"))': OK,
        '(ALARM("b") OR ALARM("a"))': ALARM,
        'NOT (OK("b") OR ALARM("c"))': OK,
        'INSUFFICIENT_DATA("c")': ALARM,
    }.items():
        assert Composite("x", rule).next(states) is wanted, rule


def test_an_expression_has_no_point_where_a_part_has_none() -> None:
    def part(id: str, name: str) -> dict[str, object]:
        found = {"Namespace": "N", "MetricName": name}
        return {"Id": id, "MetricStat": {"Metric": found, "Stat": "Sum", "Period": 60}}

    shared = Metric.read(
        "share",
        {
            "Metrics": [{"Id": "e", "Expression": "100 * a / b"}, part("a", "A"), part("b", "B")],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 80,
            "EvaluationPeriods": 1,
        },
    )
    series: dict[Key, Sequence[Point]] = {
        ("N", "A", "Sum"): [9.0, None, 9.0],
        ("N", "B", "Sum"): [10.0, 10.0, 0.0],
    }
    assert shared.series(series, 3) == [90.0, None, None]


def test_states_follow_each_other_minute_by_minute() -> None:
    template = {
        "Resources": {
            "A1": {
                "Type": "AWS::CloudWatch::Alarm",
                "Metadata": {"aws:cdk:path": "S/Alarms/A/Resource"},
                "Properties": {
                    "Namespace": "N",
                    "MetricName": "m",
                    "Statistic": "Sum",
                    "Period": 60,
                    "Threshold": 0,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "EvaluationPeriods": 2,
                    "TreatMissingData": "notBreaching",
                },
            }
        }
    }
    played = play(template, {("N", "m", "Sum"): [1.0, 1.0, 1.0, 0.0]}, 4)
    assert played == {"A": [OK, ALARM, ALARM, OK]}
