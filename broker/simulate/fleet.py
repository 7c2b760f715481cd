"""Fleet: one application's environments, old and new versions, and the connections they hold.

A slot is what serves a request at a time and holds a connection: an environment has as many as
broker.toml gives it sessions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from broker.plan.deployment import Application, Kind
from broker.simulate.demand import Demand, swing
from broker.simulate.line import Cohort, Line, split
from broker.simulate.traffic import Traffic
from broker.simulate.versions import Versions

SCALE_MOST = 1000  # environments that start in 10 s, for each function (FACTS 3);
SCALE_PER_S = 100.0  # "a best attempt to refill continuously", and never more than 1,000 saved up
MEMORY = 10  # a request's times, over which a tick's chance is averaged


class Start(Enum):
    """What a request finds: an environment with a connection, one without, or a new one."""

    CONNECTED = "connected"
    BARE = "bare"
    COLD = "cold"


@dataclass(slots=True)
class Entry:
    """Who gets an environment in a tick, and who does not."""

    cohorts: dict[Start, list[Cohort]] = field(default_factory=lambda: {each: [] for each in Start})
    throttled: int = 0
    timed_out: int = 0

    def count(self, start: Start) -> int:
        """Return how many have found this."""
        return sum(each.count for each in self.cohorts[start])


class Fleet:
    """Counts slots by state. A tick is `enter`, then any `connect` and `fail`, then `rest`."""

    def __init__(
        self,
        index: int,
        application: Application,
        traffic: Traffic,
        connection_kept_s: float,
        rng: np.random.Generator,
        tick_s: float,
    ) -> None:
        self.index = index
        self.application = application
        self.is_function = application.kind is Kind.FUNCTION
        self.slots = application.environments * application.sessions
        self.in_flight = 0
        self.seeking = Line(rng)
        self._backlog = Line(rng)
        self._traffic = traffic
        self._rng = rng
        self._tick_s = tick_s
        self._may_start = float(SCALE_MOST)
        self._load = 0.0  # requests in flight of late, if none were lost
        self._connected = 0  # of the slots in use
        self._bare = 0
        self._starting = 0  # of the bare ones
        self._versions = Versions(
            math.ceil(traffic.kept_s / tick_s),
            math.ceil(connection_kept_s / tick_s),
            fixed=0 if self.is_function else self.slots,
        )
        if traffic.storm and self.is_function:
            self._versions.put_back(0, 0, self.slots)

    @property
    def environments(self) -> int:
        """How many there are, of all versions."""
        slots = self._connected + self._bare + self._versions.alive
        return math.ceil(slots / self.application.sessions)

    @property
    def connections(self) -> int:
        """How many are open, those included that nobody will use any more."""
        return self._connected + self._versions.open

    @property
    def waiting(self) -> int:
        """How many wait for a connection, or in a service for one of its slots."""
        return self.seeking.count + self._backlog.count

    @property
    def unanswered(self) -> int:
        """How many have asked and are not done."""
        return self.in_flight + self._backlog.count

    @property
    def asking(self) -> int:
        """How many a storm lets ask: all that have nothing to do."""
        return max(0, self.slots - self.unanswered)

    def warm_up(self, rate: float, hold_s: float) -> None:
        """Have the environments that this traffic has kept until now, without connections."""
        load = rate * hold_s
        likely = math.ceil(load + swing(load, self._traffic.kept_s / hold_s))
        if self.is_function and not self._traffic.storm:
            self._versions.put_back(0, 0, min(self.slots, likely))

    def deploy(self) -> None:
        """Make all environments those of an old version: they end what they do, and no more."""
        self._versions.deploy(self._connected + self._bare)

    def enter(self, tick: int, asked: int, hold_s: float, served: float) -> Entry:
        """Give environments to so many requests, each of which takes about `hold_s`.

        No more than `served` can be answered in this tick.
        """
        self._may_start = min(SCALE_MOST, self._may_start + SCALE_PER_S * self._tick_s)
        offered = asked * hold_s / self._tick_s
        self._load += (offered - self._load) * -math.expm1(-self._tick_s / (MEMORY * hold_s))
        entry = Entry()
        if self.is_function:
            demand = self._demand(self.in_flight, asked, hold_s, served)
            entry.throttled = min(asked, self._rounded(demand.lost(self.slots)))
            coming = [Cohort(self.index, asked - entry.throttled)]
        else:
            coming = self._queue_up(tick, asked, hold_s, served, entry)
        count = sum(each.count for each in coming)
        if not count:
            return entry
        current = max(0, self.in_flight - self._versions.old_busy)
        mine = self._demand(current, count, hold_s, served)
        busy = self._connected + self._bare - self._versions.old_busy
        wanted = min(count, max(0, min(self.slots, mine.peak()) - busy))
        warm = self._versions.take(wanted)
        there = busy + sum(warm) + self._versions.current.alive
        cold = self._start(tick, wanted - sum(warm), count - sum(warm), there, mine)
        lacking, got = 0, sum(warm) + cold
        if got < wanted:
            lacking = min(count - got, self._rounded(mine.lost(busy + got)))
        entry.throttled += lacking
        self._connected += warm.connected
        self._bare += warm.bare + cold
        self.in_flight += count - lacking
        _, coming = split(coming, lacking)
        self._starting += cold
        entry.cohorts[Start.COLD], coming = split(coming, cold)
        entry.cohorts[Start.BARE], entry.cohorts[Start.CONNECTED] = split(coming, warm.bare)
        return entry

    def seek(self, tick: int, cohort: Cohort, *, cold: bool) -> None:
        """Let them seek a connection; `cold` ones have started now."""
        self._starting -= cohort.count * cold
        self.seeking.join(tick, cohort)

    def connect(self, count: int) -> None:
        """So many that sought a connection have one now."""
        self._bare -= count
        self._connected += count

    def fail(self, tick: int, count: int, *, connected: bool) -> None:
        """So many gave up; those that had a connection lost it."""
        self.in_flight -= count
        if connected:
            count = min(count, self._connected)
            self._connected -= count
        else:
            count = min(count, self._bare)
            self._bare -= count
        self._versions.put_back(tick, 0, count)

    def rest(self, tick: int, answered: int) -> None:
        """So many were answered: their environments rest, and what rested for long is gone."""
        self.in_flight -= answered
        spare = max(0, min(self._connected, self._connected + self._bare - self.in_flight))
        self._connected -= spare
        self._versions.put_back(tick, spare, 0)
        self._versions.age(tick)

    def give_up(self, tick: int) -> int:
        """Return how many have sought a connection for their whole time, and end them."""
        ticks = math.ceil(self.application.timeout_s / self._tick_s)
        late = sum(piece.cohort.count for piece in self.seeking.expire(tick - ticks))
        self.fail(tick, late, connected=False)
        return late

    def _demand(self, in_flight: int, asked: int, hold_s: float, served: float) -> Demand:
        held = min(in_flight, self._starting + self.seeking.count)
        return Demand(in_flight, held, asked, served, hold_s, self._tick_s, self._load)

    def _queue_up(
        self, tick: int, asked: int, hold_s: float, served: float, entry: Entry
    ) -> list[Cohort]:
        """Let a service's requests wait for its slots; return who has one now."""
        self._backlog.join(tick, Cohort(self.index, asked))
        ticks = math.ceil(self.application.timeout_s / self._tick_s)
        late = self._backlog.expire(tick - ticks)
        entry.timed_out = sum(piece.cohort.count for piece in late)
        demand = self._demand(self.in_flight, self._backlog.count, hold_s, served)
        return [
            Cohort(self.index, piece.cohort.count, (tick - piece.joined) * self._tick_s)
            for piece in self._backlog.take(math.floor(demand.most(self.slots)))
        ]

    def _start(self, tick: int, wanted: int, count: int, there: int, demand: Demand) -> int:
        """Start environments for the slots that are wanted; return the slots that are used.

        `there` are the current version's slots. While new ones start, requests that would have
        followed each other in one need one each.
        """
        if wanted <= 0 or not self.is_function:
            return 0
        each = self.application.sessions
        most = self.application.environments - math.ceil(there / each)
        lacking = demand.settled * max(0.0, demand.usual - there)
        piled_up = math.floor(lacking * self._traffic.cold_start_s / demand.hold_s)
        wanted = min(count, wanted + piled_up)
        started = min(math.ceil(wanted / each), int(self._may_start), most)
        self._may_start -= started
        used = min(wanted, started * each)
        self._versions.current.put(tick, 0, started * each - used)
        return used

    def _rounded(self, count: float) -> int:
        """Return a whole number that is right on average."""
        return math.floor(count + self._rng.random())
