"""A monotonic clock that stands still and leaps, as that of a machine that was frozen may."""

from __future__ import annotations

import time

from broker.deadline import Instant, SystemClock

STANDS_STILL_FOR = 5  # readings


class LeapingClock(SystemClock):
    """The machine's clocks, of which the monotonic one leaps ahead at one of its next readings.

    The readings before that one all say the same, as if no time passed between them.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.wall_ahead_s = 0.0
        self.leapt = True
        self._readings_left = 0
        self._leap_s = 0.0
        self._last_s = time.monotonic()

    def leap(self, seconds: float, at_reading: int) -> None:
        """Leap so far ahead at this reading, counted from 1."""
        self._readings_left, self._leap_s, self.leapt = at_reading, seconds, False

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        if not self.leapt:
            self._readings_left -= 1
            if self._readings_left <= 0:
                self.ahead_s += self._leap_s
                self.leapt = True
            elif self._readings_left < STANDS_STILL_FOR:
                return self._last_s
        self._last_s = max(self._last_s, time.monotonic() + self.ahead_s)
        return self._last_s

    def now(self) -> Instant:  # type: ignore[override]
        """Return this moment on both clocks."""
        return Instant(self.monotonic(), time.time() + self.wall_ahead_s)
