"""Idle: environments at rest by their last use, and the connections that they still hold."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

Rest = deque[tuple[int, int]]  # (tick of the last use, how many), the longest at rest first


class Taken(NamedTuple):
    """How many are in use again: with their connection, and without one."""

    connected: int
    bare: int


class Idle:
    """Slots at rest: what serves a request at a time, and holds at most one connection.

    An environment that is reaped is frozen and never closes its connection (FACTS 3): the
    connection lasts until it has been idle for `connection_ticks`.
    """

    def __init__(self, environment_ticks: int, connection_ticks: int) -> None:
        self._environment_ticks = environment_ticks
        self._connection_ticks = connection_ticks
        self._connected: Rest = deque()
        self._bare: Rest = deque()  # failed, or never connected
        self._closed: Rest = deque()  # environments whose connection was closed as idle
        self._orphans: Rest = deque()  # connections whose environment is gone
        self.alive = 0
        self.open = 0

    def put(self, tick: int, connected: int, bare: int = 0) -> None:
        """Let so many rest, with their connection or without one."""
        if connected:
            self._connected.append((tick, connected))
        if bare:
            self._bare.append((tick, bare))
        self.alive += connected + bare
        self.open += connected

    def reap_after(self, ticks: int) -> None:
        """Let environments end after so many ticks at rest from now on."""
        self._environment_ticks = ticks

    def take(self, count: int) -> Taken:
        """Use so many again, or as many as there are: the last used first."""
        connected = bare = 0
        while connected + bare < count and (self._connected or self._bare):
            left = count - connected - bare
            if _last(self._bare) >= _last(self._connected):  # the safe side in one tick
                bare += _pop(self._bare, left)
            else:
                connected += _pop(self._connected, left)
        bare += _pop_all(self._closed, count - connected - bare)
        self.alive -= connected + bare
        self.open -= connected
        return Taken(connected, bare)

    def age(self, tick: int) -> None:
        """Close and reap what has been at rest for long enough."""
        gone, closed = tick - self._environment_ticks, tick - self._connection_ticks
        if self._connection_ticks <= self._environment_ticks:
            self.open -= _move(self._connected, closed, self._closed)
            self.alive -= _move(self._closed, gone)
        else:
            self.alive -= _move(self._connected, gone, self._orphans)
            self.open -= _move(self._orphans, closed)
        self.alive -= _move(self._bare, gone)


def _last(rest: Rest) -> int:
    return rest[-1][0] if rest else -1


def _pop(rest: Rest, count: int) -> int:
    """Take up to so many of those that were used last, in one tick."""
    tick, some = rest.pop()
    if some > count:
        rest.append((tick, some - count))
    return min(some, count)


def _pop_all(rest: Rest, count: int) -> int:
    left = count
    while left and rest:
        left -= _pop(rest, left)
    return count - left


def _move(rest: Rest, tick: int, to: Rest | None = None) -> int:
    moved = 0
    while rest and rest[0][0] <= tick:
        moved += rest[0][1]
        if to is not None:
            to.append(rest[0])
        rest.popleft()
    return moved
