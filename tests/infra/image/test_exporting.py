"""Each of CloudWatch's minutes has one line of a task, whatever the second that it starts in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, strategies
from pooler.exporting import Exporting

from broker.settings import Settings

DEFAULT = Exporting.from_env({"EXPORTER_POOLER": "stack/Broker"})


@given(
    strategies.floats(1.7e9, 1.8e9),
    strategies.lists(strategies.floats(0, 9), min_size=50, max_size=200),
)
def test_every_minute_has_one_line_though_looks_come_late(
    start_s: float, late_s: list[float]
) -> None:
    now_s, last, told = start_s, DEFAULT.minute(start_s), Counter[int]()
    for late in late_s:
        now_s += DEFAULT.until_next_look(now_s) + late
        if DEFAULT.minute(now_s) != last:
            last = DEFAULT.minute(now_s)
            told[int(now_s // 60)] += 1
            assert 30 <= now_s % 60 < 45, "in the middle, far from the next and the one before"
    whole = [told[minute] for minute in range(min(told), max(told) + 1)] if told else []
    assert whole == [1] * len(whole)


@given(strategies.floats(1.7e9, 1.8e9), strategies.floats(0.01, 720))
def test_it_looks_twelve_times_a_period(now_s: float, period_s: float) -> None:
    exporting = replace(DEFAULT, period_s=period_s)
    wait_s = exporting.until_next_look(now_s)
    assert 0 < wait_s <= period_s / 12


def test_the_namespace_is_the_broker_s_own_if_none_is_given() -> None:
    named = Exporting.from_env({"EXPORTER_POOLER": "p", "EXPORTER_NAMESPACE": "Other"})
    default = next(
        spec for spec in Settings.__dataclass_fields__.values() if spec.name == "metrics_namespace"
    )
    assert default.default == DEFAULT.namespace
    assert named.namespace == "Other"


@pytest.mark.parametrize(
    ("metadata", "task"),
    [
        ("http://169.254.170.2/v4/cd189a933e5849daa93386466019ab50-2495160603", "cd189a933e58"),
        ("http://169.254.170.2/v4/cd189a933e5849daa93386466019ab50", "cd189a933e58"),
    ],
)
def test_the_task_is_what_its_metadata_s_address_says(metadata: str, task: str) -> None:
    environ = {"EXPORTER_POOLER": "p", "ECS_CONTAINER_METADATA_URI_V4": metadata}
    assert Exporting.from_env(environ).task.startswith(task)
    assert "-" not in Exporting.from_env(environ).task


def test_outside_of_ecs_it_is_the_machine_s_name() -> None:
    assert DEFAULT.task
