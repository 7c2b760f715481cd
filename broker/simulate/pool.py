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
from broker.simulate.service_time import ServiceTime
from broker.simulate.serving import Serving
from broker.simulate.waits import Waits

SMOOTHING = 20  # mean times over which the utilisation is averaged
RETRY_S = 1.0  # server_login_retry, as broker/pgbouncer/ini.py has it


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
        *,
        storm: bool = False,
    ) -> None:
        self._limits = limits
        self._backends = backends
        self._rng = rng
        self._tick_s = tick_s
        self._line = Line(rng)
        self._waiting = [0] * len(times)
        self.serving = Serving(times, rng, tick_s, storm=storm)
        self._work = 0.0  # sessions' seconds that wait
        self._flow = 0.0  # sessions that the arrivals of late keep busy
        self._calming = 1.0  # what is left of that after a tick without any
        self._needed = Peak(max(1, round(limits.keep_s / tick_s)))
        self._reserve_is_open = False
        self._retry_tick = 0
        self._refused = 0
        self.sessions = 0
        self.busiest = 0
        """Sessions that served somebody at once in the last tick."""

    @property
    def waiting(self) -> int:
        """How many wait for a session."""
        return self._line.count

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._line.count or self.serving.active)

    @property
    def wait_s(self) -> float:
        """About how long who comes now waits."""
        return self._work / max(1, self.sessions)

    @property
    def most_sessions(self) -> int:
        """How many sessions it may have now."""
        return min(self._planned, self.sessions + self._backends.room)

    @property
    def _planned(self) -> int:
        return (self._limits.size or 0) + self._limits.reserve * self._reserve_is_open

    def there(self, application: int) -> int:
        """Return how many of its requests wait or are served."""
        return self._waiting[application] + self.serving.busy[application]

    def take_refusals(self) -> int:
        """Return how often the server refused a session since this was asked last."""
        count, self._refused = self._refused, 0
        return count

    def close(self) -> None:
        """End the sessions."""
        self._backends.change(-self.sessions)
        self.sessions = 0

    def step(
        self, tick: int, arriving: Sequence[Cohort], clients: int, latencies: Histogram
    ) -> Tick:
        """Serve for a tick: `arriving` come during it, latencies of whom it serves are added.

        There are so many `clients`: no more are ever served at once.
        """
        late = self._expire(tick)
        for cohort in arriving:
            self._line.join(tick, cohort)
            self._waiting[cohort.application] += cohort.count
        if self.idle:
            self._flow *= self._calming
            self._keep(tick, 0)
            return Tick([0] * len(self._waiting), late)
        if self._limits.size is None:
            begun, passage, servers = self._line.take(self._line.count), None, 0
            most = clients
        else:
            begun, passage, servers = self._admit(tick, arriving)
            most = min(servers, clients)
        waits = Waits(self._rng, tick, self._tick_s, passage, servers)
        waited = self._line.count > 0
        for piece in begun:
            time = self.serving.times[piece.cohort.application]
            waited |= waits.record(piece, time, latencies)
        before = self.serving.active
        answered = self.serving.step(tick, begun, most if self._line.count else 0, most)
        needed = most if waited else max(before, self.serving.active, self.serving.peak(begun))
        self._keep(tick, min(most, needed))
        return Tick(answered, late)

    def _expire(self, tick: int) -> list[Piece]:
        oldest = self._line.oldest
        if oldest is None or (tick - oldest) * self._tick_s < self._limits.wait_s:
            return []
        late = self._line.expire(tick - math.ceil(self._limits.wait_s / self._tick_s))
        before = self._waiting_work()
        self._left(late)
        self._work = max(0.0, self._work - (before - self._waiting_work()))
        return late

    def _left(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._waiting[piece.cohort.application] -= piece.cohort.count

    def _waiting_work(self) -> float:
        pairs = zip(self._waiting, self.serving.times, strict=True)
        return sum(count * time.mean_s for count, time in pairs)

    def _look_at_the_reserve(self, tick: int) -> None:
        """Open the reserve for who waits for long, until it is not needed any more."""
        oldest = self._line.oldest
        waited_s = 0.0 if oldest is None else (tick - oldest) * self._tick_s
        if waited_s >= self._limits.reserve_wait_s:
            self._reserve_is_open = True
        elif self.sessions <= (self._limits.size or 0):
            self._reserve_is_open = False

    def _count_refusals(self, tick: int) -> None:
        """Count a 53300 for a session that is needed and cannot be opened, at each attempt."""
        needed = self._line.count + self.serving.active
        if self._backends.room or self.sessions >= needed or tick < self._retry_tick:
            return
        self._refused += 1
        self._retry_tick = tick + max(1, round(RETRY_S / self._tick_s))

    def _admit(
        self, tick: int, arriving: Sequence[Cohort]
    ) -> tuple[list[Piece], Passage | None, int]:
        """Let begin who finds a session; return them, the passage, and the sessions there are."""
        self._look_at_the_reserve(tick)
        servers = self.most_sessions
        if servers < self._planned:
            self._count_refusals(tick)
        if not servers:
            return [], None, 0
        mix = self._mix()
        passage = self._passage(arriving, servers, mix)
        self._work = max(0.0, passage.end(self._rng)) if passage.waits else 0.0
        mean_s = self._waiting_work() / self._line.count if self._line.count else mix.mean_s
        begun = self._line.take(self._line.count - math.ceil(self._work / mean_s))
        self._left(begun)
        if not self._line.count:
            self._work = 0.0
        return begun, passage, servers

    def _mix(self) -> Mix:
        """Return the time of who is there, by how many of each are served in a tick."""
        tick_s, serving = self._tick_s, self.serving
        present = [
            (waiting + busy * min(1.0, tick_s / time.mean_s), time)
            for waiting, busy, time in zip(self._waiting, serving.busy, serving.times, strict=True)
        ]
        return Mix.of(present).within(tick_s)

    def _passage(self, arriving: Sequence[Cohort], servers: int, mix: Mix) -> Passage:
        tick_s, times = self._tick_s, self.serving.times
        work = sum(each.count * times[each.application].mean_s for each in arriving)
        self._calming = math.exp(-tick_s / max(tick_s, SMOOTHING * mix.mean_s))
        self._flow = work / tick_s + (self._flow - work / tick_s) * self._calming
        free = (servers - self.serving.active) * mix.mean_s
        return Passage.through(
            self._rng,
            work=self._work if self._work > 0 else -free,
            arriving=work,
            servers=servers,
            utilisation=self._flow / servers,
            mix=mix,
            tick_s=tick_s,
        )

    def _keep(self, tick: int, busiest: int) -> None:
        """Have the sessions that were needed of late."""
        self.busiest = busiest
        if self._limits.size is None:
            return
        wanted = self._needed.add(tick, busiest)
        self._backends.change(wanted - self.sessions)
        self.sessions = wanted
