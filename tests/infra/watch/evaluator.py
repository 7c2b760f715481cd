"""CloudWatch's alarms, evaluated minute by minute out of a template. Pure.

As "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data" have
it: M of the last N periods; a few more periods are looked at where some are missing; only then are
missing ones filled in, as few as possible. Periods are a minute, and series have one value each.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

PERIOD_S = 60
LOOK_BACK = 2  # periods beyond N: the documentation's examples have 5 for N = 3
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
ARITHMETIC: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

Point = float | None
Key = tuple[str, str, str]
"""Namespace, metric, statistic: in one scenario that is one series.

Only the monitor is told from other functions: `Errors of the monitor`.
"""


class State(Enum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT = "INSUFFICIENT_DATA"


@dataclass(frozen=True)
class Metric:
    """One alarm on a metric, or on an expression of several."""

    name: str
    sources: Mapping[str, Key]
    expression: str
    compare: Callable[[float, float], bool]
    threshold: float
    points: int
    periods: int
    missing: str
    tells_of_silence: bool = False

    @classmethod
    def read(cls, name: str, properties: Mapping[str, Any]) -> Metric:
        sources, expression = _sources(properties)
        return cls(
            name,
            sources,
            expression,
            COMPARE[properties["ComparisonOperator"]],
            properties["Threshold"],
            properties.get("DatapointsToAlarm", properties["EvaluationPeriods"]),
            properties["EvaluationPeriods"],
            properties.get("TreatMissingData", "missing"),
            bool(properties.get("InsufficientDataActions")),
        )

    def series(self, given: Mapping[Key, Sequence[Point]], minutes: int) -> list[Point]:
        tree = ast.parse(self.expression, mode="eval").body
        nothing = [None] * minutes
        found = {id: given.get(key, nothing) for id, key in self.sources.items()}
        return [
            _value(tree, {id: values[minute] for id, values in found.items()})
            for minute in range(minutes)
        ]

    def next(self, before: State, window: Sequence[Point]) -> State:
        """Return the state after this window, whose last point is the newest."""
        looked = list(window)[-(self.periods + LOOK_BACK) :]
        real = [point for point in looked if point is not None]
        if len(real) >= self.periods:
            return self._judge(real[-self.periods :], 0)
        lacking = self.periods - len(real)
        if self.missing == "breaching":
            return self._judge(real, lacking)
        if self.missing == "notBreaching":
            return self._judge(real, 0)
        if not real:
            return State.INSUFFICIENT if self.missing == "missing" else before
        if self._judge(real, 0) is State.ALARM:
            return State.ALARM
        if self._judge(real, lacking) is State.OK or not all(map(self._beyond, real)):
            return State.OK  # something real is well, or nothing that is missing could change it
        return State.ALARM if self.missing == "missing" else before

    def _beyond(self, point: float) -> bool:
        return self.compare(point, self.threshold)

    def _judge(self, real: Sequence[float], more: int) -> State:
        breaching = sum(map(self._beyond, real)) + more
        return State.ALARM if breaching >= self.points else State.OK


def _sources(properties: Mapping[str, Any]) -> tuple[dict[str, Key], str]:
    if "MetricName" in properties:
        assert properties["Period"] == PERIOD_S
        key = properties["Namespace"], _metric(properties), properties["Statistic"]
        return {"m": key}, "m"
    sources, expression = {}, ""
    for each in properties["Metrics"]:
        if "MetricStat" in each:
            stat = each["MetricStat"]
            metric = stat["Metric"]
            assert stat["Period"] == PERIOD_S
            sources[each["Id"]] = metric["Namespace"], _metric(metric), stat["Stat"]
        elif each.get("ReturnData", True):
            expression = each["Expression"]
    return sources, expression


def _metric(properties: Mapping[str, Any]) -> str:
    of_monitor = "WatchMonitor" in json.dumps(properties.get("Dimensions", []))
    return f"{properties['MetricName']}{' of the monitor' if of_monitor else ''}"


def _value(node: ast.expr, values: Mapping[str, Point]) -> Point:
    match node:
        case ast.Constant(value=float() | int() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _value(left, values), _value(right, values)
            if one is None or other is None or (isinstance(op, ast.Div) and other == 0):
                return None  # CloudWatch has no point where a part has none
            return ARITHMETIC[type(op)](one, other)
        case _:
            raise NotImplementedError(ast.dump(node))


@dataclass(frozen=True)
class Composite:
    """ALARM(…) of others with AND, OR and NOT."""

    name: str
    rule: str

    def next(self, states: Mapping[str, State]) -> State:
        words = re.sub(
            r'(ALARM|OK|INSUFFICIENT_DATA)\("([^"]*)"\)',
            lambda found: str(states[found[2]] is State(found[1])),
            self.rule,
        )
        words = words.replace("AND", "and").replace("OR", "or").replace("NOT", "not")
        assert re.fullmatch(r"(True|False|and|or|not|[() ])+", words), words
        return State.ALARM if eval(words) else State.OK


def alarms(template: Mapping[str, Any]) -> tuple[dict[str, Metric], dict[str, Composite]]:
    """Return the template's alarms by the names of their constructs."""
    named = {
        logical: str(resource["Metadata"]["aws:cdk:path"]).split("/")[-2]
        for logical, resource in template["Resources"].items()
        if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    }
    metrics, composites = {}, {}
    for logical, name in named.items():
        properties = template["Resources"][logical]["Properties"]
        if "AlarmRule" in properties:
            composites[name] = Composite(name, _rule(properties["AlarmRule"], named))
        else:
            metrics[name] = Metric.read(name, properties)
    return metrics, composites


def first_ring(states: Sequence[State], *, tells_of_silence: bool) -> int | None:
    """Return the minute in which somebody is told, or would be if the alarm had anybody.

    Silence is told of as a change of state: an alarm begins without data, which is none.
    """
    had_data = False
    for minute, state in enumerate(states):
        if state is State.ALARM or (tells_of_silence and had_data and state is State.INSUFFICIENT):
            return minute
        had_data = had_data or state is not State.INSUFFICIENT
    return None


def _rule(given: Any, named: Mapping[str, str]) -> str:
    parts = given["Fn::Join"][1]
    text = "".join(
        part if isinstance(part, str) else named[part["Fn::GetAtt"][0]] for part in parts
    )
    assert "Fn::" not in json.dumps(text)
    return text


def play(
    template: Mapping[str, Any], series: Mapping[Key, Sequence[Point]], minutes: int
) -> dict[str, list[State]]:
    """Return each alarm's state after every minute; all begin without data."""
    metrics, composites = alarms(template)
    values = {name: metric.series(series, minutes) for name, metric in metrics.items()}
    found: dict[str, list[State]] = {name: [] for name in (*metrics, *composites)}
    states = dict.fromkeys(found, State.INSUFFICIENT)
    for minute in range(minutes):
        for name, metric in metrics.items():
            states[name] = metric.next(states[name], values[name][: minute + 1])
        for name, composite in composites.items():
            states[name] = composite.next(states)
        for name, state in states.items():
            found[name].append(state)
    return found
