"""Peak: the most of the last so many ticks, as a pool keeps what it needed a while ago."""

from __future__ import annotations

from collections import deque


class Peak:
    """The largest value of a moving window."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._values: deque[tuple[int, int]] = deque()  # falling, the largest first

    def add(self, tick: int, value: int) -> int:
        """Take in this tick's value, and return the largest of the window."""
        values = self._values
        while values and values[-1][1] <= value:
            values.pop()
        values.append((tick, value))
        while values[0][0] <= tick - self._ticks:
            values.popleft()
        return values[0][1]
