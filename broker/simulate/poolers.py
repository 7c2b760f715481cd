"""Poolers: every pool of the deployment, and their replacement in a rollout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from broker.simulate.backends import Backends
from broker.simulate.histogram import Histogram
from broker.simulate.line import Cohort
from broker.simulate.pool import Pool
from broker.simulate.service_time import ServiceTime
from broker.simulate.shape import Shape


@dataclass(slots=True)
class Served:
    """What a tick brought, by application."""

    answered: list[int]
    late: list[int]


@dataclass(slots=True)
class _Share:
    """One pair's pools: those that take requests, and those that only end what they have."""

    pools: list[Pool]
    ending: list[Pool] = field(default_factory=list)


class Poolers:
    """The pools of every pair, each in every process; requests are spread evenly over them."""

    def __init__(
        self,
        shape: Shape,
        times: Sequence[ServiceTime],
        backends: Backends,
        rng: np.random.Generator,
        tick_s: float,
        *,
        storm: bool = False,
    ) -> None:
        self._storm = storm
        self._shape = shape
        self._times = times
        self._backends = backends
        self._rng = rng
        self._tick_s = tick_s
        self._slowness = 1.0
        self._pairs = [shape.pair(each) for each in shape.applications]
        self._shares = {
            pair: _Share([self._pool() for _ in range(shape.queues)]) for pair in shape.pairs
        }

    def _pool(self) -> Pool:
        limits, rng, storm = self._shape.limits, self._rng, self._storm
        return Pool(limits, self._times, self._backends, rng, self._tick_s, storm=storm)

    @property
    def _all(self) -> list[Pool]:
        return [pool for share in self._shares.values() for pool in (*share.pools, *share.ending)]

    @property
    def processes(self) -> int:
        """How many there are, those included that are on their way out."""
        share = next(iter(self._shares.values()))
        return len(share.pools) + len(share.ending)

    @property
    def waiting(self) -> int:
        """How many requests wait for a session."""
        return sum(pool.waiting for pool in self._all)

    @property
    def active(self) -> int:
        """How many sessions served one at once in the last tick."""
        return sum(pool.busiest for pool in self._all)

    def takes_s(self, application: int) -> float:
        """Return about how long a request of this application waits and is served now."""
        pools = self._shares[self._pairs[application]].pools
        waits_s = sum(pool.wait_s for pool in pools) / len(pools)
        return waits_s + self._mean_s(application)

    def _mean_s(self, application: int) -> float:
        return self._times[application].mean_s * self._slowness

    def served(self, asked: Sequence[int]) -> list[float]:
        """Return the most of each application that can be answered in this tick, if so many ask."""
        found = [math.inf] * len(self._times)
        if self._shape.limits.size is None:
            return found
        for pair, share in self._shares.items():
            mine = [number for number, each in enumerate(self._pairs) if each == pair]
            counts = {
                number: asked[number] + sum(pool.there(number) for pool in share.pools)
                for number in mine
            }
            work = sum(count * self._mean_s(number) for number, count in counts.items())
            servers = sum(pool.most_sessions for pool in share.pools)
            over = work / (servers * self._tick_s) if servers else math.inf
            for number in mine:
                found[number] = counts[number] / max(1.0, over)
        return found

    def refusals(self) -> int:
        """Return how often the server refused a session since this was asked last."""
        return sum(pool.take_refusals() for pool in self._all)

    def step(
        self, tick: int, arriving: Sequence[Cohort], clients: int, latencies: Histogram
    ) -> Served:
        """Serve for a tick, in which there are so many clients."""
        self._slow_down()
        served = Served([0] * len(self._times), [0] * len(self._times))
        for pair, share in self._shares.items():
            mine = [each for each in arriving if self._pairs[each.application] == pair]
            parts = self._spread(mine, len(share.pools))
            parts += [[] for _ in share.ending]
            for pool, part in zip((*share.pools, *share.ending), parts, strict=True):
                done = pool.step(tick, part, clients, latencies)
                for number, count in enumerate(done.answered):
                    served.answered[number] += count
                for piece in done.late:
                    served.late[piece.cohort.application] += piece.cohort.count
        return served

    def _slow_down(self) -> None:
        """Let each transaction take longer while more are active than the server serves well."""
        active = sum(pool.serving.active for pool in self._all)
        self._slowness = max(1.0, round(active / self._shape.active_well, 2))
        for pool in self._all:
            pool.serving.slow_down(self._slowness)

    def _spread(self, cohorts: Sequence[Cohort], ways: int) -> list[list[Cohort]]:
        if ways == 1:
            return [list(cohorts)]
        parts: list[list[Cohort]] = [[] for _ in range(ways)]
        for each in cohorts:
            counts = self._rng.multinomial(each.count, [1 / ways] * ways)
            for part, count in zip(parts, counts, strict=True):
                if count:
                    part.append(Cohort(each.application, int(count), each.before_s))
        return parts

    def replace(self, first: int, count: int) -> None:
        """Put new pools in the place of some; the old ones end what they have begun."""
        for share in self._shares.values():
            share.ending += share.pools[first : first + count]
            share.pools[first : first + count] = [self._pool() for _ in range(count)]

    def close_ended(self) -> bool:
        """Close the old pools whose work is done; return whether all are closed."""
        for share in self._shares.values():
            for pool in [pool for pool in share.ending if pool.idle]:
                pool.close()
                share.ending.remove(pool)
        return not any(share.ending for share in self._shares.values())
