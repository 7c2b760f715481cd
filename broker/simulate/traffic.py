"""Traffic: when requests come, for how long, and what else happens meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

DAY_S = 86_400.0
STORM_S = 60.0
BUSIEST_S = 14 * 3600.0  # of the day
TICKS = 86_400  # of a run: a day in seconds, an hour in ticks of 42 ms
POOLS = 4  # from which on a tick is longer
LONGEST_TICK_S = 1.0
SHORTEST_TICK_S = 0.01
STORM_TICKS = 8  # a mean service time, in a storm, where an answer is followed by a request


@dataclass(frozen=True, slots=True)
class Burst:
    """So many times the usual traffic, from then on for so long."""

    times: float
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """What happens. Times are seconds from the start, which is midnight.

    Each function is asked at the rate that broker.toml gives it, times `factor`. `storm` asks
    otherwise: every environment that its concurrency permits asks at once, and again as soon as
    it is answered. `handler_s` is what an invocation takes besides its transaction, and no part
    of its latency; `cold_start_s` is what a new environment takes before its first one, `kept_s`
    how long Lambda keeps an idle one: AWS promises nothing, and as long as the server keeps a
    session is the safe side.
    """

    duration_s: float = DAY_S
    peak: float = 1.0
    bursts: tuple[Burst, ...] = ()
    deploys_s: tuple[float, ...] = ()
    storm: bool = False
    handler_s: float = 0.0
    cold_start_s: float = 0.4
    kept_s: float = 900.0
    tick_s: float | None = None
    seed: int = 1
    _steepness: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_steepness", _steepness(self.peak))

    def factor(self, at_s: float) -> float:
        """Return how many times the mean traffic there is at that moment."""
        angle = 2 * math.pi * (at_s - BUSIEST_S) / DAY_S
        usual = self.peak * math.exp(self._steepness * (math.cos(angle) - 1))
        for burst in self.bursts:
            if burst.at_s <= at_s < burst.at_s + burst.for_s:
                usual *= burst.times
        return usual

    def tick(self, shortest_mean_s: float, pools: int = 1) -> float:
        """Return the length of a tick: as asked, or as short as `TICKS` of them allow.

        Many pools have longer ones, so that a day of theirs takes no longer than one of a few.
        """
        if self.tick_s is not None:
            return self.tick_s
        many = max(1.0, pools / POOLS)
        tick = min(many * LONGEST_TICK_S, max(SHORTEST_TICK_S, many * self.duration_s / TICKS))
        if self.storm:
            tick = min(tick, max(shortest_mean_s / STORM_TICKS, self.duration_s / TICKS / 2))
        return tick


def _steepness(peak: float) -> float:
    """Return κ of the day exp(κ cos t) whose busiest moment is `peak` times its mean.

    It is a sine's day for a small peak, and has quiet nights instead of negative ones for a
    large one.
    """
    low, high = 0.0, 1.0
    while _peak(high) < peak:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _peak(middle) < peak else (low, middle)
    return high if peak > 1 else 0.0


def _peak(steepness: float) -> float:
    """Return the largest value over the mean."""
    angles = np.linspace(0, 2 * math.pi, 2048, endpoint=False)
    return float(1 / np.mean(np.exp(steepness * (np.cos(angles) - 1))))
