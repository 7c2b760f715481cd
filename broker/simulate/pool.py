"""Pool: one pooler's sessions for one database and user, and the queue in front of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from broker.simulate.backends import Backends
from broker.simulate.gate import Mix, Passage
from broker.simulate.histogram import Histogram
from broker.simulate.line import Cohort, Line, Piece
from broker.simulate.peak import Peak
from broker.simulate.service_time import Floats, ServiceTime

DRAWS = 256  # of a cohort's latencies: each stands for its share of the others
SMOOTHING = 20  # mean times over which the utilisation is averaged
RETRY_S = 1.0  # server_login_retry


@dataclass(frozen=True, slots=True)
class Limits:
    """A pool's numbers, from the plan. `size` None: a session for each environment, no queue."""

    size: int | None
    reserve: int = 0
    reserve_wait_s: float = math.inf
    wait_s: float = math.inf
    keep_s: float = 600.0


@dataclass(slots=True)
class Tick:
    """What a tick brought: how many of each application were answered, and who waited too long."""

    answered: list[int]
    late: list[Piece] = field(default_factory=list)


class Pool:
    """Serves cohorts; `times` are the applications' service times, in their order."""

    def __init__(
        self,
        limits: Limits,
        times: Sequence[ServiceTime],
        backends: Backends,
        rng: np.random.Generator,
        tick_s: float,
    ) -> None:
        self._limits = limits
        self._times = times
        self._backends = backends
        self._rng = rng
        self._tick_s = tick_s
        self._line = Line(rng)
        self._waiting = [0] * len(times)
        self._busy = [0] * len(times)
        self._stays = [(time.stays(tick_s), time.stays_new(tick_s)) for time in times]
        self._work = 0.0  # that waits, above 0; meaningless while nobody waits
        self._flow = 0.0  # sessions that the arrivals of late keep busy
        self._calming = 1.0  # what is left of that after a tick without any
        self._needed = Peak(max(1, round(limits.keep_s / tick_s)))
        self._reserve_is_open = False
        self._retry_tick = 0
        self.sessions = 0
        self._refused = 0

    @property
    def waiting(self) -> int:
        """How many wait for a session."""
        return self._line.count

    @property
    def active(self) -> int:
        """How many sessions serve somebody."""
        return sum(self._busy)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._line.count or any(self._busy))

    @property
    def wait_s(self) -> float:
        """About how long who comes now waits."""
        return self._work / max(1, self.sessions)

    def take_refusals(self) -> int:
        """Return how often the server refused a session since this was asked last."""
        count, self._refused = self._refused, 0
        return count

    def step(self, tick: int, arriving: Sequence[Cohort], latencies: Histogram) -> Tick:
        """Serve for a tick: `arriving` come during it, latencies of whom it serves are added."""
        for cohort in arriving:
            self._line.join(tick, cohort)
            self._waiting[cohort.application] += cohort.count
        if self.idle:
            self._flow *= self._calming
            self._keep(tick, 0)
            return Tick([0] * len(self._times))
        late = self._expire(tick)
        if self._limits.size is None:
            begun, passage, servers = self._line.take(self._line.count), None, 0
        else:
            begun, passage, servers = self._admit(tick, self._limits.size, arriving)
        before = self.active
        somebody_waits = self._record(tick, begun, passage, servers, latencies)
        answered = self._serve(begun, servers)
        if self._limits.size is not None:
            self._keep(tick, servers if somebody_waits else max(before, self.active))
        return Tick(answered, late)

    def close(self) -> None:
        """End the sessions."""
        self._backends.change(-self.sessions)
        self.sessions = 0

    def _expire(self, tick: int) -> list[Piece]:
        oldest = self._line.oldest
        if oldest is None or (tick - oldest) * self._tick_s < self._limits.wait_s:
            return []
        late = self._line.expire(tick - math.ceil(self._limits.wait_s / self._tick_s))
        for piece in late:
            self._waiting[piece.cohort.application] -= piece.cohort.count
        self._work = min(self._work, self._waiting_work())
        return late

    def _waiting_work(self) -> float:
        pairs = zip(self._waiting, self._times, strict=True)
        return sum(count * time.mean_s for count, time in pairs)

    def _allowed(self, tick: int, size: int) -> int:
        """Return how many sessions the pool may have: the reserve too, for who waits for long."""
        oldest, limits = self._line.oldest, self._limits
        waited_s = 0.0 if oldest is None else (tick - oldest) * self._tick_s
        if waited_s >= limits.reserve_wait_s:
            self._reserve_is_open = True
        elif self.sessions <= size:
            self._reserve_is_open = False
        return size + limits.reserve if self._reserve_is_open else size

    def _admit(
        self, tick: int, size: int, arriving: Sequence[Cohort]
    ) -> tuple[list[Piece], Passage | None, int]:
        """Let begin who finds a session; return them, the passage, and the sessions there are."""
        allowed = self._allowed(tick, size)
        servers = min(allowed, self.sessions + self._backends.room)
        if servers < allowed and tick >= self._retry_tick and self._line.count:
            self._refused += 1
            self._retry_tick = tick + max(1, round(RETRY_S / self._tick_s))
        if not servers:
            return [], None, 0
        mix = self._mix(arriving)
        passage = self._passage(arriving, servers, mix)
        if passage.waits:
            self._work = max(0.0, passage.end(self._rng))
        else:
            self._work = 0.0
        mean_s = self._waiting_work() / self._line.count if self._line.count else mix.mean_s
        begun = self._line.take(self._line.count - math.ceil(self._work / mean_s))
        for piece in begun:
            self._waiting[piece.cohort.application] -= piece.cohort.count
        if not self._line.count:
            self._work = 0.0
        return begun, passage, servers

    def _mix(self, arriving: Sequence[Cohort]) -> Mix:
        """Return the time of who is there, by how many of each are served in a tick."""
        tick_s, times = self._tick_s, self._times
        present = [
            (waiting + busy * min(1.0, tick_s / time.mean_s), time)
            for waiting, busy, time in zip(self._waiting, self._busy, times, strict=True)
        ]
        return Mix.of(present).within(tick_s)

    def _passage(self, arriving: Sequence[Cohort], servers: int, mix: Mix) -> Passage:
        tick_s = self._tick_s
        work = sum(each.count * self._times[each.application].mean_s for each in arriving)
        memory_s = max(tick_s, SMOOTHING * mix.mean_s)
        self._calming = math.exp(-tick_s / memory_s)
        self._flow = work / tick_s + (self._flow - work / tick_s) * self._calming
        free = (servers - self.active) * mix.mean_s
        return Passage.through(
            self._rng,
            work=self._work if self._work > 0 else -free,
            arriving=work,
            servers=servers,
            utilisation=self._flow / servers,
            mix=mix,
            tick_s=tick_s,
        )

    def _record(
        self,
        tick: int,
        begun: Sequence[Piece],
        passage: Passage | None,
        servers: int,
        latencies: Histogram,
    ) -> bool:
        """Count the latencies of who begins; return whether all sessions were ever in use."""
        waited = self._line.count > 0
        for piece in begun:
            count = min(piece.cohort.count, DRAWS)
            waits = self._waits(tick, piece, count, passage, servers)
            times = self._times[piece.cohort.application].draw(self._rng, count)
            latencies.add(piece.cohort.before_s + waits + times, piece.cohort.count / count)
            waited = waited or bool(waits.any())
        return waited

    def _waits(
        self, tick: int, piece: Piece, count: int, passage: Passage | None, servers: int
    ) -> Floats:
        places = self._rng.random(count)
        if piece.joined < tick:
            came = piece.first + places * (piece.last - piece.first)
            began = piece.begun + places * (piece.ended - piece.begun)
            return (tick - piece.joined + began - came) * self._tick_s
        if passage is None or not passage.waits:
            return np.zeros(count)
        met = passage.at(self._rng, piece.first + places * (piece.last - piece.first))
        return np.maximum(0.0, met) / servers

    def _keep(self, tick: int, needed: int) -> None:
        """Have the sessions that were needed of late."""
        wanted = self._needed.add(tick, needed)
        self._backends.change(wanted - self.sessions)
        self.sessions = wanted

    def _serve(self, begun: Sequence[Piece], servers: int) -> list[int]:
        """Return how many of each are answered; all sessions stay busy while somebody waits."""
        present = list(self._busy)
        staying = [
            int(self._rng.binomial(busy, old)) if busy else 0
            for busy, (old, _) in zip(self._busy, self._stays, strict=True)
        ]
        for piece in begun:
            mine, count = piece.cohort.application, piece.cohort.count
            present[mine] += count
            staying[mine] += int(self._rng.binomial(count, self._stays[mine][1]))
        wanted = sum(staying)
        if self._limits.size is not None:
            wanted = servers if self._line.count else min(servers, wanted)
        self._busy = fit(staying, present, wanted)
        return [a - b for a, b in zip(present, self._busy, strict=True)]


def fit(counts: Sequence[int], most: Sequence[int], total: int) -> list[int]:
    """Return counts in these proportions, each within its `most`, whose sum is `total` if it can.

    Largest remainders get what rounding leaves.
    """
    total = min(total, sum(most))
    found = list(counts)
    if sum(found) > total:
        exact = [count * total / sum(counts) for count in counts]
        found = [math.floor(each) for each in exact]
        order = sorted(range(len(found)), key=lambda n: exact[n] - found[n], reverse=True)
        for n in order[: total - sum(found)]:
            found[n] += 1
        return found
    for n in sorted(range(len(found)), key=lambda n: most[n] - found[n], reverse=True):
        found[n] += min(most[n] - found[n], total - sum(found))
    return found
