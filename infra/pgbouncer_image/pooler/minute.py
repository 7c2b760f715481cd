"""Minute: a task's looks since the last line, as the figures of the next one. Pure.

Several processes share the task's port, and each has limits of its own: their clients and sessions
add up, and the worst wait and the fullest pool stand for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from .look import Counters, Look

COUNT, PERCENT, MS, US = "Count", "Percent", "Milliseconds", "Microseconds"  # CloudWatch's units

Figures = dict[str, tuple[float, str]]


@dataclass(frozen=True)
class TaskLook:
    """All processes that answered, at one moment; there is at least one."""

    clients_active: int
    clients_waiting: int
    clients_logging_in: int
    sessions_active: int
    sessions_idle: int
    servers: Counter[str]
    oldest_session_s: float

    @classmethod
    def of(cls, looks: Iterable[Look]) -> TaskLook:
        """Add up the processes."""
        found = list(looks)
        return cls(
            clients_active=sum(look.clients_active for look in found),
            clients_waiting=sum(look.clients_waiting for look in found),
            clients_logging_in=sum(look.clients_logging_in for look in found),
            sessions_active=sum(look.sessions_active for look in found),
            sessions_idle=sum(look.sessions_idle for look in found),
            servers=sum((look.servers for look in found), Counter()),
            oldest_session_s=max(look.oldest_session_s for look in found),
        )

    @property
    def load(self) -> tuple[int, int, int]:
        """By what two looks are compared."""
        return self.clients_waiting, self.sessions_active, self.clients_active


class Minute:
    """Takes looks, and gives the figures of them.

    Counts are those of the busiest look, so that they belong together: the one with the most
    clients that wait, then with the most sessions at work. Averages are of what the processes
    counted between the last look of the line before and the last one of this.
    """

    servers: Mapping[str, object]
    """Of the minute that ended last: what no metric has, since addresses and ages are many."""

    def __init__(self) -> None:
        self.servers = {}
        self._last: dict[int, Counters] = {}
        self._start()

    def _start(self) -> None:
        self._busiest: TaskLook | None = None
        self._longest_wait_ms = 0.0
        self._used_percent: float | None = None
        self._clients_percent = 0.0
        self._grown = Counters(0, 0, 0, 0)

    def add(self, looks: Mapping[int, Look]) -> None:
        """Take a look at each process that answered, by its number."""
        if not looks:
            return
        task = TaskLook.of(looks.values())
        if self._busiest is None or task.load > self._busiest.load:
            self._busiest = task
        for process, look in looks.items():
            self._longest_wait_ms = max(self._longest_wait_ms, look.longest_wait_ms)
            self._clients_percent = max(self._clients_percent, look.clients_used_percent)
            if look.pool_used_percent is not None:
                self._used_percent = max(self._used_percent or 0.0, look.pool_used_percent)
            last = self._last.get(process, look.counters)  # the first look only says where it is
            self._grown = added(self._grown, growth(last, look.counters))
            self._last[process] = look.counters

    def end(self) -> Figures:
        """Return the figures, none where no process has answered, and start the next minute."""
        busiest, grown, used = self._busiest, self._grown, self._used_percent
        longest, clients = self._longest_wait_ms, self._clients_percent
        self._start()
        if busiest is None:
            return {}
        self.servers = {
            "servers": dict(sorted(busiest.servers.items())),
            "oldest_session_s": round(busiest.oldest_session_s),
        }
        figures: Figures = {
            "ClientsActive": (busiest.clients_active, COUNT),
            "ClientsWaiting": (busiest.clients_waiting, COUNT),
            "ClientsLoggingIn": (busiest.clients_logging_in, COUNT),
            "ClientsUsedPercent": (clients, PERCENT),
            "MaxWaitMs": (longest, MS),
            "SessionsActive": (busiest.sessions_active, COUNT),
            "SessionsIdle": (busiest.sessions_idle, COUNT),
        }
        if used is not None:
            figures["PoolUsedPercent"] = (used, PERCENT)
        if grown.assignments:
            figures["AvgWaitUs"] = (grown.wait_us / grown.assignments, US)
        if grown.queries:
            figures["AvgQueryUs"] = (grown.query_us / grown.queries, US)
        return figures


def growth(before: Counters, now: Counters) -> Counters:
    """Return what was counted in between, never less than nothing.

    A counter that has fallen is that of a process which was started anew: it counts from 0, and so
    do its others.
    """
    pairs = [(getattr(before, each.name), getattr(now, each.name)) for each in fields(now)]
    if any(there > here for there, here in pairs):
        return now
    return Counters(*(here - there for there, here in pairs))


def added(one: Counters, other: Counters) -> Counters:
    """Return the sum."""
    return Counters(*(getattr(one, e.name) + getattr(other, e.name) for e in fields(one)))
