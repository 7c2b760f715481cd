"""Line: who waits, first come, first served; in cohorts, since there are millions of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(slots=True)
class Cohort:
    """Requests of one application that came in one tick; `before_s` each had taken by then."""

    application: int
    count: int
    before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Requests that leave a line: when they had joined, and where in their tick's arrivals.

    `joined` is the tick, `first` and `last` are shares of that tick's arrivals; `begun` and
    `ended` are shares of all that leave with it.
    """

    cohort: Cohort
    joined: int
    first: float
    last: float
    begun: float
    ended: float


class _Batch:
    """The arrivals of one tick; they leave in any order among themselves."""

    __slots__ = ("cohorts", "count", "left", "tick")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.cohorts: list[Cohort] = []
        self.count = 0
        self.left = 0

    def take(self, rng: np.random.Generator, count: int) -> list[Cohort]:
        """Take so many out, each as likely as the other."""
        taken: list[Cohort] = []
        others = self.left
        self.left -= count
        for cohort in self.cohorts:
            others -= cohort.count
            mine = count if others == 0 else _hypergeometric(rng, cohort.count, others, count)
            if mine:
                taken.append(Cohort(cohort.application, mine, cohort.before_s))
                cohort.count -= mine
                count -= mine
        return taken


def _hypergeometric(rng: np.random.Generator, mine: int, others: int, count: int) -> int:
    if count == mine + others:
        return mine
    return int(rng.hypergeometric(mine, others, count)) if count and mine else 0


class Line:
    """First in, first out, tick by tick."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._batches: deque[_Batch] = deque()
        self.count = 0

    @property
    def oldest(self) -> int | None:
        """The tick in which the first of the line joined."""
        return self._batches[0].tick if self._batches else None

    def join(self, tick: int, cohort: Cohort) -> None:
        """Add them at the end; `tick` never goes back."""
        if not cohort.count:
            return
        if not self._batches or self._batches[-1].tick != tick:
            self._batches.append(_Batch(tick))
        batch = self._batches[-1]
        batch.cohorts.append(cohort)
        batch.count += cohort.count
        batch.left += cohort.count
        self.count += cohort.count

    def take(self, count: int) -> list[Piece]:
        """Let the first `count` leave, or all if there are fewer."""
        count = total = max(0, min(count, self.count))
        self.count -= count
        pieces: list[Piece] = []
        while count:
            batch = self._batches[0]
            some = min(count, batch.left)
            first = 1 - batch.left / batch.count
            begun = 1 - count / total
            cohorts = batch.take(self._rng, some)
            count -= some
            last, ended = 1 - batch.left / batch.count, 1 - count / total
            pieces += [Piece(each, batch.tick, first, last, begun, ended) for each in cohorts]
            if not batch.left:
                self._batches.popleft()
        return pieces

    def expire(self, tick: int) -> list[Piece]:
        """Let all leave who joined in this tick or before."""
        late = 0
        for batch in self._batches:
            if batch.tick > tick:
                break
            late += batch.left
        return self.take(late)


def split(cohorts: Sequence[Cohort], count: int) -> tuple[list[Cohort], list[Cohort]]:
    """Return the first `count` of them, and the others."""
    first: list[Cohort] = []
    others: list[Cohort] = []
    for each in cohorts:
        some = min(count, each.count)
        count -= some
        if some:
            first.append(Cohort(each.application, some, each.before_s))
        if each.count > some:
            others.append(Cohort(each.application, each.count - some, each.before_s))
    return first, others
