"""The way to a free session within one tick: what waits there, and how long, at any moment of it.

What waits is counted as work: the sessions' seconds that the waiting requests will take; below
zero it is the room that free sessions leave. Over a tick that work is a Brownian motion, which
ends where the tick's arrivals and the sessions' capacity put it, and is reflected at a floor. The
floor is put where the stationary chance to wait is Erlang's C, and the motion's variance is that
with which the mean wait is Allen and Cunneen's, as the plan has them (broker/plan/queueing.py).
Reflected Brownian motion can be drawn exactly over a step of any length. So a tick of a second,
in which thousands are served, gives the stationary waits, and one of a millisecond gives the
queue's growth: it is the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from broker.plan import queueing
from broker.simulate.service_time import Floats, ServiceTime

STEPS = 200  # of utilisation, in the table of floors
NEVER = 6.0  # standard deviations
LEAST_CV2 = 1e-4  # a time that never varies


@dataclass(frozen=True, slots=True)
class Mix:
    """Times of several applications as one: the mean, and the squared coefficient of variation."""

    mean_s: float
    cv2: float

    @classmethod
    def of(cls, parts: Iterable[tuple[float, ServiceTime]]) -> Self:
        """Return the mixture of (weight, time); the weights' sum is above 0."""
        weight = first = second = 0.0
        for share, time in parts:
            weight += share
            first += share * time.mean_s
            second += share * time.square
        mean = first / weight
        return cls(mean, max(LEAST_CV2, second / weight / mean**2 - 1))

    def within(self, tick_s: float) -> Mix:
        """Return it as a tick sees it: over a time shorter than itself a long tail is not felt."""
        if self.cv2 <= 1:
            return self
        felt = -math.expm1(-tick_s / self.mean_s)
        return Mix(self.mean_s, 1 + (self.cv2 - 1) * felt)


@dataclass(frozen=True, slots=True)
class Passage:
    """One tick at the gate: the work at its start, what is added in all, variance and floor.

    `waits` is whether there is any chance worth a thought that somebody waits.
    """

    start: float
    net: float
    variance: float
    floor: float
    waits: bool

    @classmethod
    def through(
        cls,
        rng: np.random.Generator,
        *,
        work: float,
        arriving: float,
        servers: int,
        utilisation: float,
        mix: Mix,
        tick_s: float,
    ) -> Passage:
        """Return the tick in which so much work arrives, at so many sessions."""
        scale = mix.cv2 * mix.mean_s
        capacity = rng.gamma(servers * tick_s / scale, scale)
        floor = -mix.mean_s * (1 + mix.cv2) / 2 * depth(servers, round(utilisation * STEPS))
        if work < floor:  # more are free than the stationary floor has: they fill in a mean time
            floor += (work - floor) * math.exp(-tick_s / mix.mean_s)
        variance = servers * mix.mean_s * (1 + mix.cv2) * tick_s
        net = arriving - capacity
        waits = max(work, floor) + max(0.0, net) + NEVER * math.sqrt(variance) > 0
        return cls(work, net, variance, floor, waits)

    def end(self, rng: np.random.Generator) -> float:
        """Draw the work at the tick's end."""
        spread = self.net**2 - 2 * self.variance * math.log(1 - rng.random())
        lowest = (self.net - math.sqrt(spread)) / 2
        return self.start + self.net + max(0.0, self.floor - self.start - lowest)

    def at(self, rng: np.random.Generator, moments: Floats) -> Floats:
        """Draw the work that is met at these moments, shares of the tick between 0 and 1."""
        count = len(moments)
        bridge = np.sqrt(self.variance * moments * (1 - moments)) * rng.standard_normal(count)
        moved = self.net * moments + bridge
        spread = moved**2 + 2 * self.variance * moments * rng.standard_exponential(count)
        lowest = (moved - np.sqrt(spread)) / 2
        met: Floats = self.start + moved + np.maximum(0.0, self.floor - self.start - lowest)
        return met


@lru_cache(maxsize=4096)
def depth(servers: int, step: int) -> float:
    """Return how deep the floor lies, in mean waits of an overloaded server, by STEPS of load."""
    utilisation = min(max(step, 1), STEPS - 1) / STEPS
    chance = queueing.erlang_c(utilisation * servers, servers)
    return -math.log(max(chance, 1e-300)) / (1 - utilisation)
