"""What the broker has done so far, counted; db.stats() and the metrics read it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from broker.reuse import Reason

TIMINGS_KEPT = 99  # of an invocation; EMF takes 100 at the most


class Stats(NamedTuple):
    """This environment's counts since its broker was created, and its sessions now."""

    sessions_open: int
    sessions_idle: int
    opened: int
    reused: int
    replaced: Mapping[Reason, int]
    connect_retries: int
    too_many_connections: int
    """53300 and its relatives, each time one was met, retried or not."""
    transaction_retries: int
    commits_looked_up: int
    """COMMITs whose answer was lost, and whose outcome the server was asked for."""
    outcomes_unknown: int
    """Statements and COMMITs of which nobody could say whether they happened."""
    leaks: int
    lease_requests: int
    """Requests to the cap's table."""
    lease_renewals_failed: int
    leases_lost: int
    leases_abandoned: int
    """Left to expire, since nobody can say that the session has ended."""
    cap_full: int
    cap_reached: int
    cap_unreachable: int
    uncapped: int
    """Sessions opened without a lease while the table was out of reach."""


COUNTED = tuple(name for name in Stats._fields if not name.startswith(("sessions_", "replaced")))


class Tally:
    """Counts and timings of one stretch of time."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.replaced: Counter[Reason] = Counter()
        self.connect_ms: list[float] = []
        self.checkout_wait_ms: list[float] = []


class Recorder:
    """Counts what happens. Thread-safe; `take` hands over what came since the last take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._taken_replaced: Counter[Reason] = Counter()
        self._tally = Tally()

    def begin_anew(self) -> None:
        """Forget everything, in a forked child: the lock too, which another thread may hold."""
        self.__init__()  # type: ignore[misc]

    def count(self, what: str) -> None:
        """Count one more of it."""
        with self._lock:
            self._tally.counts[what] += 1

    def replaced(self, reason: Reason) -> None:
        """Count one more session that was retired."""
        with self._lock:
            self._tally.replaced[reason] += 1

    def connected(self, took_ms: float) -> None:
        """Count a session that was opened, and how long that took."""
        with self._lock:
            self._tally.counts["opened"] += 1
            _keep(self._tally.connect_ms, took_ms)

    def waited(self, wait_ms: float) -> None:
        """Keep how long a checkout waited for a session that others had."""
        with self._lock:
            _keep(self._tally.checkout_wait_ms, wait_ms)

    def take(self) -> Tally:
        """Return what was counted since the last take, and begin anew."""
        with self._lock:
            tally, self._tally = self._tally, Tally()
            self._taken.update(tally.counts)
            self._taken_replaced.update(tally.replaced)
        return tally

    def stats(self, *, sessions_open: int, sessions_idle: int) -> Stats:
        """Return the totals."""
        with self._lock:
            total = self._taken + self._tally.counts
            replaced = dict(self._taken_replaced + self._tally.replaced)
        return Stats(
            sessions_open=sessions_open,
            sessions_idle=sessions_idle,
            replaced=replaced,
            **{name: total[name] for name in COUNTED},
        )


def _keep(timings: list[float], value: float) -> None:
    if len(timings) < TIMINGS_KEPT:
        timings.append(value)
