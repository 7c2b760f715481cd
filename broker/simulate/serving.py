"""Serving: the transactions that hold a session now, by application."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from broker.simulate.demand import swing
from broker.simulate.line import Piece
from broker.simulate.service_time import ServiceTime


class Serving:
    """Who is served when a tick ends. `times` are the applications' service times.

    In a storm who asks in a tick does so when it begins.
    """

    def __init__(
        self,
        times: Sequence[ServiceTime],
        rng: np.random.Generator,
        tick_s: float,
        *,
        storm: bool = False,
    ) -> None:
        self._rng = rng
        self._tick_s = tick_s
        self._usual = times
        self._storm = storm
        self._slowness = 0.0
        self.busy = [0] * len(times)
        self.times: Sequence[ServiceTime] = times
        self._stays: list[tuple[float, float, float]] = []
        self.slow_down(1.0)

    def slow_down(self, times: float) -> None:
        """Let everything take so many times as long as usual."""
        if times != self._slowness:
            self._slowness = times
            self.times = [each.stretched(times) for each in self._usual]
            tick_s = self._tick_s
            self._stays = [
                (each.stays(tick_s), each.stays_new(tick_s), each.stays_again(tick_s))
                for each in self.times
            ]

    @property
    def active(self) -> int:
        """How many are served."""
        return sum(self.busy)

    def step(self, tick: int, begun: Sequence[Piece], least: int, most: int) -> list[int]:
        """Let a tick pass in which these begin; return how many of each are done.

        When it ends between `least` and `most` are served, as far as there are so many.
        """
        present = list(self.busy)
        staying = [
            int(self._rng.binomial(busy, old)) if busy else 0
            for busy, (old, _, _) in zip(self.busy, self._stays, strict=True)
        ]
        for piece in begun:
            mine, count = piece.cohort.application, piece.cohort.count
            present[mine] += count
            again = self._storm and piece.joined == tick
            staying[mine] += int(self._rng.binomial(count, self._stays[mine][2 if again else 1]))
        wanted = min(most, max(least, sum(staying)))
        self.busy = fit(staying, present, wanted)
        return [a - b for a, b in zip(present, self.busy, strict=True)]

    def peak(self, begun: Sequence[Piece]) -> int:
        """Return how many are served at once at the most, in a tick longer than a transaction."""
        work = count = 0.0
        for piece in begun:
            count += piece.cohort.count
            work += piece.cohort.count * self.times[piece.cohort.application].mean_s
        if not count or work / count >= self._tick_s:
            return 0
        load = work / self._tick_s
        return math.ceil(load + swing(load, self._tick_s * count / work - 1))


def fit(counts: Sequence[int], most: Sequence[int], total: int) -> list[int]:
    """Return counts in these proportions, each within its `most`, whose sum is `total` if it can.

    The largest remainders get what rounding leaves.
    """
    total = min(total, sum(most))
    found, there = list(counts), sum(counts)
    if there == total:
        return found
    if there > total:
        exact = [count * total / there for count in counts]
        found = [math.floor(each) for each in exact]
        order = sorted(range(len(found)), key=lambda n: exact[n] - found[n], reverse=True)
        for n in order[: total - sum(found)]:
            found[n] += 1
        return found
    for n in sorted(range(len(found)), key=lambda n: most[n] - found[n], reverse=True):
        found[n] += min(most[n] - found[n], total - sum(found))
    return found
