"""The tables of the section, and how much is measured for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.application import decorator, footprint, kills, warm
from benchmarks.application.variants import VARIANTS, Work
from benchmarks.figures import Section
from benchmarks.stack import Stack


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    invocations: int  # in a round
    few: int  # in a round where each takes milliseconds
    cold_rounds: int
    struck: int  # invocations under fire


FULL = Effort(rounds=9, invocations=40, few=15, cold_rounds=5, struck=600)
QUICK = Effort(rounds=3, invocations=20, few=5, cold_rounds=1, struck=150)


def steps(effort: Effort) -> int:
    """Return how often `advance` is called."""
    warm_rounds = 2 * len(Work) * effort.rounds  # near and far
    return len(VARIANTS) * (warm_rounds + effort.cold_rounds + 2) + 4 * effort.rounds


def measure(stack: Stack, effort: Effort, advance: Callable[[], object]) -> Iterator[Section]:
    """Measure each table in turn."""
    yield from warm.measure(stack, effort.rounds, effort.invocations, effort.few, advance)
    yield decorator.measure(stack, effort.rounds, effort.invocations, advance)
    yield footprint.measure(stack, effort.cold_rounds, advance)
    yield kills.measure(stack, effort.struck, advance)
