"""The simulation: a clock, the fleets, the pools, the server, and what is counted of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator

import numpy as np
import simpy

from broker.plan.deployment import Deployment, Flavour
from broker.simulate.backends import Backends
from broker.simulate.failure import Failure
from broker.simulate.fleet import Fleet, Start
from broker.simulate.line import Cohort
from broker.simulate.poolers import Poolers
from broker.simulate.service_time import ServiceTime
from broker.simulate.shape import Shape, shape
from broker.simulate.timeline import SPANS, Gauges, Outcome, Span
from broker.simulate.traffic import Traffic

DEREGISTRATION_S = 30.0  # a load balancer's, before a task is stopped (FACTS 7)
LOOK_S = 1.0  # between two looks whether an old task has ended what it had

Progress = Callable[[float], object]
Events = Generator[simpy.Event, None, None]


def simulate(
    deployment: Deployment,
    traffic: Traffic | None = None,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Run the deployment under its plan's numbers; `progress` is told the share that is done.

    A deployment that does not fit is run all the same; the outcome's shape has the refusals.
    UsageError where no application has a rate.
    """
    return _Simulation(shape(deployment), traffic or Traffic(), progress).run()


class _Simulation:
    def __init__(self, form: Shape, traffic: Traffic, progress: Progress) -> None:
        self._shape = form
        self._traffic = traffic
        self._progress = progress
        self._rng = np.random.default_rng(traffic.seed)
        times = [ServiceTime.of(each.mean_s, each.p99_s) for each in form.applications]
        self._tick_s = traffic.tick(
            min(time.mean_s for time in times), form.queues * len(form.pairs)
        )
        self._ticks = math.ceil(traffic.duration_s / self._tick_s)
        self._backends = Backends(form.max_connections - form.reserved)
        rng, tick_s = self._rng, self._tick_s
        self._poolers = Poolers(form, times, self._backends, rng, tick_s, storm=traffic.storm)
        self._fleets = [
            Fleet(number, each, traffic, form.connection_kept_s, rng, tick_s)
            for number, each in enumerate(form.applications)
        ]
        self._due: dict[int, list[tuple[Cohort, Start]]] = defaultdict(list)
        self._spans: list[Span] = []

        for fleet in self._fleets:
            hold_s = traffic.handler_s + self._poolers.takes_s(fleet.index)
            fleet.warm_up(fleet.application.rate_per_s * traffic.factor(0.0), hold_s)

    def run(self) -> Outcome:
        clock = simpy.Environment()
        ticking = clock.process(self._tick(clock))
        for at_s in self._traffic.deploys_s:
            clock.process(self._deploy(clock, at_s))
        clock.run(until=ticking)
        unanswered = sum(fleet.unanswered for fleet in self._fleets)
        return Outcome(self._shape, self._tick_s, self._spans, unanswered)

    def _tick(self, clock: simpy.Environment) -> Events:
        each = max(1, math.ceil(self._ticks / SPANS))
        for tick in range(self._ticks):
            if tick % each == 0:
                ticks = min(each, self._ticks - tick)
                self._spans.append(Span(tick * self._tick_s, ticks * self._tick_s))
                self._progress(tick / self._ticks)
            self._step(tick, self._spans[-1])
            yield clock.timeout((tick + 1) * self._tick_s - clock.now)
        self._progress(1.0)

    def _deploy(self, clock: simpy.Environment, at_s: float) -> Events:
        """Roll out: new versions of all applications at once, new tasks a few at a time."""
        yield clock.timeout(at_s)
        for fleet in self._fleets:
            fleet.deploy()
        queues, some = self._shape.queues, self._shape.replaced_at_once
        if not some:
            return
        for first in range(0, queues, some):
            self._poolers.replace(first, min(some, queues - first))
            yield clock.timeout(DEREGISTRATION_S)
            while not self._poolers.close_ended():
                yield clock.timeout(LOOK_S)

    def _step(self, tick: int, span: Span) -> None:
        asked = [self._asked(tick, fleet) for fleet in self._fleets]
        for fleet, most in zip(self._fleets, self._poolers.served(asked), strict=True):
            self._enter(tick, fleet, asked[fleet.index], most, span)
        arriving = []
        for cohort, start in self._due.pop(tick, []):
            if start is Start.CONNECTED:
                arriving.append(cohort)
            else:
                self._fleets[cohort.application].seek(tick, cohort, cold=start is Start.COLD)
        arriving += self._connect(tick, span)
        served = self._poolers.step(tick, arriving, self._connections, span.latencies)
        for fleet in self._fleets:
            answered, late = served.answered[fleet.index], served.late[fleet.index]
            span.answered += answered
            span.failed[Failure.TIMED_OUT] += late
            fleet.fail(tick, late, connected=True)
            fleet.rest(tick, answered)
        span.refusals += self._poolers.refusals()
        span.peak.raise_to(self._gauges())

    def _asked(self, tick: int, fleet: Fleet) -> int:
        """Return how many ask in this tick."""
        if self._traffic.storm:
            return fleet.asking
        at_s = (tick + 0.5) * self._tick_s
        rate = fleet.application.rate_per_s * self._traffic.factor(at_s)
        return int(self._rng.poisson(rate * self._tick_s))

    def _enter(self, tick: int, fleet: Fleet, asked: int, served: float, span: Span) -> None:
        """Let them find an environment."""
        warm_s = self._traffic.handler_s
        hold_s = warm_s + self._poolers.takes_s(fleet.index)
        entry = fleet.enter(tick, asked, hold_s, served)
        span.asked += asked
        span.failed[Failure.THROTTLED] += entry.throttled
        span.failed[Failure.TIMED_OUT] += entry.timed_out
        for start, cohorts in entry.cohorts.items():
            for cohort in cohorts:
                cold_s = self._traffic.cold_start_s if start is Start.COLD else 0.0
                cohort.before_s += cold_s  # the handler's own time is nobody's latency but its own
                self._delay(tick, cohort, warm_s + cold_s, start)
        span.cold_starts += entry.count(Start.COLD)

    def _delay(self, tick: int, cohort: Cohort, delay_s: float, start: Start) -> None:
        """Let them go on after a time; who came late in the tick goes on a tick later."""
        whole, part = divmod(delay_s / self._tick_s, 1)
        after = tick + int(whole)
        later = int(self._rng.binomial(cohort.count, part)) if part else 0
        for when, count in ((after, cohort.count - later), (after + 1, later)):
            if count:
                self._due[when].append((Cohort(cohort.application, count, cohort.before_s), start))

    def _connect(self, tick: int, span: Span) -> Iterator[Cohort]:
        """Give connections to who seeks one, as far as there are any; end who sought too long."""
        for fleet in self._fleets:
            if not fleet.seeking.count:
                continue
            room, failure = self._room(fleet)
            pieces = fleet.seeking.take(room)
            for piece in pieces:
                fleet.connect(piece.cohort.count)
                waited_s = (tick - piece.joined) * self._tick_s
                yield Cohort(fleet.index, piece.cohort.count, piece.cohort.before_s + waited_s)
            late = fleet.give_up(tick)
            span.failed[failure] += late
            if failure is Failure.REFUSED:
                span.refusals += late

    def _room(self, fleet: Fleet) -> tuple[int, Failure]:
        """Return how many connections the fleet may open, and what is in the way of more."""
        taken = self._connections
        if self._shape.flavour is Flavour.RDS_PROXY:
            return fleet.seeking.count, Failure.TIMED_OUT
        if self._shape.clients_each is not None:
            slots = self._shape.clients_each * self._poolers.processes
            return max(0, slots - taken), Failure.NO_CLIENT_SLOT
        room, failure = max(0, self._backends.limit - taken), Failure.REFUSED
        if self._shape.cap is not None and fleet.is_function:
            capped = sum(each.connections for each in self._fleets if each.is_function)
            if self._shape.cap - capped < room:
                room, failure = max(0, self._shape.cap - capped), Failure.CAPPED
        return room, failure

    @property
    def _connections(self) -> int:
        return sum(fleet.connections for fleet in self._fleets)

    def _gauges(self) -> Gauges:
        connections = self._connections
        opened = self._backends.open
        if self._shape.flavour is Flavour.DIRECT:
            opened = connections
        return Gauges(
            environments=sum(fleet.environments for fleet in self._fleets),
            connections=connections,
            sessions=opened + self._shape.reserved,
            active=min(opened, self._poolers.active),
            waiting=self._poolers.waiting + sum(fleet.waiting for fleet in self._fleets),
        )
