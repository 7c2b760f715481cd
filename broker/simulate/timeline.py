"""Timeline: what a simulation counted, span by span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.simulate.failure import Failure
from broker.simulate.histogram import Histogram
from broker.simulate.shape import Shape

SPANS = 240  # of a run: what a plot shows


@dataclass(slots=True)
class Gauges:
    """How many there were, at the most. `connections` are clients of the pooler, or sessions."""

    environments: int = 0
    connections: int = 0
    sessions: int = 0
    active: int = 0
    waiting: int = 0

    def raise_to(self, other: Gauges) -> None:
        """Take the larger of each."""
        self.environments = max(self.environments, other.environments)
        self.connections = max(self.connections, other.connections)
        self.sessions = max(self.sessions, other.sessions)
        self.active = max(self.active, other.active)
        self.waiting = max(self.waiting, other.waiting)


@dataclass(slots=True)
class Span:
    """From `at_s` on for `for_s`: counts, the largest gauges, latencies of answered requests.

    `refusals` are the 53300s that the server gave: to requests where each has a session of its
    own, else to the pooler, which then has fewer sessions than it should.
    """

    at_s: float
    for_s: float
    asked: int = 0
    answered: int = 0
    cold_starts: int = 0
    failed: Counter[Failure] = field(default_factory=Counter)
    refusals: int = 0
    peak: Gauges = field(default_factory=Gauges)
    latencies: Histogram = field(default_factory=Histogram)

    def __add__(self, later: Span) -> Span:
        total = Span(
            self.at_s,
            self.for_s + later.for_s,
            self.asked + later.asked,
            self.answered + later.answered,
            self.cold_starts + later.cold_starts,
            self.failed + later.failed,
            self.refusals + later.refusals,
            latencies=self.latencies + later.latencies,
        )
        total.peak.raise_to(self.peak)
        total.peak.raise_to(later.peak)
        return total

    @property
    def failures(self) -> int:
        """How many requests failed."""
        return sum(self.failed.values())

    def quantile_ms(self, share: float) -> float | None:
        """Return the latency that this share of the answered stayed below, in ms."""
        found = self.latencies.quantile(share)
        return None if found is None else found * 1000

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "at_s": round(self.at_s, 3),
            "for_s": round(self.for_s, 3),
            "asked": self.asked,
            "answered": self.answered,
            **{failure.value: self.failed[failure] for failure in Failure},
            "refusals_53300": self.refusals,
            "cold_starts": self.cold_starts,
            "environments": self.peak.environments,
            "connections": self.peak.connections,
            "sessions": self.peak.sessions,
            "active": self.peak.active,
            "waiting": self.peak.waiting,
            "p50_ms": _rounded(self.quantile_ms(0.5)),
            "p99_ms": _rounded(self.quantile_ms(0.99)),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a simulation; `unanswered` were still there when it ended."""

    shape: Shape
    tick_s: float
    spans: Sequence[Span]
    unanswered: int

    @property
    def total(self) -> Span:
        """All of it."""
        return merged(self.spans)

    @property
    def failed(self) -> bool:
        """Whether a request failed, or the server refused a session."""
        return any(span.failures or span.refusals for span in self.spans)

    def rows(self, count: int) -> list[Span]:
        """Return it in so many spans, or as many as there are."""
        each = -(-len(self.spans) // count)
        starts = range(0, len(self.spans), each)
        return [merged(self.spans[start : start + each]) for start in starts]


def merged(spans: Sequence[Span]) -> Span:
    """Return the spans as one."""
    total = spans[0]
    for span in spans[1:]:
        total = total + span
    return total
