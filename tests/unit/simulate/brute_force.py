"""The same fleet, request by request and by nothing but a heap of events: slow, and independent."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.simulate.quantiles import quantile

Service = Callable[[random.Random], float]


@dataclass
class Fleet:
    """One function in front of a pool of `sessions`; `direct` gives each environment its own."""

    rate: float
    service: Service
    sessions: int
    concurrency: int
    duration_s: float
    direct: bool = False
    wait_s: float = 10.0
    timeout_s: float = 30.0
    cold_start_s: float = 0.4
    factor: Callable[[float], float] = lambda _: 1.0
    most_factor: float = 1.0
    storm: bool = False
    warm: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    peak: Counter[str] = field(default_factory=Counter)

    def run(self, seed: int) -> Fleet:
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._numbers = itertools.count()
        self._idle: list[bool]  # whether each has a connection
        self._in_flight = self._busy = self._open = 0
        self._tokens, self._tokens_at = 1000.0, 0.0
        self._queue: deque[list[float]] = deque()  # [asked, joined, 1 while it waits]
        self._seeking: deque[list[float]] = deque()
        self._idle = [False] * (self.concurrency if self.storm else self.warm)
        self._environments = self.peak["environments"] = len(self._idle)
        if self.storm:
            for _ in range(self.concurrency):
                self._at(0.0, self._ask)
        else:
            self._at(self._gap(), self._arrive)
        while self._events and self._events[0][0] < self.duration_s:
            self._now, _, call, arguments = heapq.heappop(self._events)
            call(*arguments)
        self.counts["unanswered"] = self._in_flight
        return self

    def quantile(self, share: float) -> float:
        return quantile(self.latencies, share)

    def _at(self, when: float, call: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), call, arguments))

    def _gap(self) -> float:
        return self._rng.expovariate(self.rate * self.most_factor)

    def _arrive(self) -> None:
        self._at(self._now + self._gap(), self._arrive)
        if self._rng.random() < self.factor(self._now) / self.most_factor:
            self._ask()

    def _ask(self) -> None:
        self.counts["asked"] += 1
        if self._in_flight >= self.concurrency:
            self.counts["throttled"] += 1
            return
        if self._idle:
            connected = self._idle.pop()
            self._in_flight += 1
            self._go(self._now, connected)
            return
        elapsed = self._now - self._tokens_at
        self._tokens = min(1000.0, self._tokens + 100 * elapsed)
        self._tokens_at = self._now
        if self._tokens < 1:
            self.counts["throttled"] += 1
            return
        self._tokens -= 1
        self._environments += 1
        self._in_flight += 1
        self.counts["cold"] += 1
        self.peak["environments"] = max(self.peak["environments"], self._environments)
        self._at(self._now + self.cold_start_s, self._go, self._now, False)

    def _go(self, asked: float, connected: bool) -> None:
        if connected or not self.direct:
            self._join(asked)
        elif self._open < self.sessions:
            self._open += 1
            self.peak["sessions"] = max(self.peak["sessions"], self._open)
            self._join(asked)
        else:
            request = [asked, self._now, 1.0]
            self._seeking.append(request)
            self._at(self._now + self.timeout_s, self._refuse, request)

    def _refuse(self, request: list[float]) -> None:
        if request[2]:
            request[2] = 0.0
            self.counts["refused"] += 1
            self._rest(connected=False)

    def _join(self, asked: float) -> None:
        if self.direct or self._busy < self.sessions:
            self._serve(asked)
        else:
            request = [asked, self._now, 1.0]
            self._queue.append(request)
            self._at(self._now + self.wait_s, self._time_out, request)

    def _time_out(self, request: list[float]) -> None:
        if request[2]:
            request[2] = 0.0
            self.counts["timed out"] += 1
            self._rest(connected=True)

    def _serve(self, asked: float) -> None:
        self._busy += 1
        self._at(self._now + self.service(self._rng), self._done, asked)

    def _done(self, asked: float) -> None:
        self._busy -= 1
        self.counts["answered"] += 1
        self.latencies.append(self._now - asked)
        self._rest(connected=True)
        while self._queue and not self.direct:
            request = self._queue.popleft()
            if request[2]:
                request[2] = 0.0
                self._serve(request[0])
                break

    def _rest(self, *, connected: bool) -> None:
        self._in_flight -= 1
        self._idle.append(connected)
        if self.storm:
            self._at(self._now, self._ask)
