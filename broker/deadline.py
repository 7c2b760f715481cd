"""Time: when something must be over, and how long ago something was."""

from __future__ import annotations

import math
import time
from typing import NamedTuple, Protocol


class Instant(NamedTuple):
    """One moment on both of the machine's clocks, in seconds."""

    monotonic_s: float
    wall_s: float

    def since(self, earlier: Instant) -> float:
        """Seconds from `earlier` to here: the larger of both clocks' answers, never below 0.

        An environment may have been frozen in between, and whether CLOCK_MONOTONIC counts that
        time is not known; a wall clock may be set back. The larger one errs to the safe side.
        """
        return max(self.monotonic_s - earlier.monotonic_s, self.wall_s - earlier.wall_s, 0.0)


class Clock(Protocol):
    """What code that waits needs of time."""

    def now(self) -> Instant:
        """Return this moment."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def now() -> Instant:
        """Return this moment on both clocks."""
        return Instant(time.monotonic(), time.time())


SYSTEM_CLOCK = SystemClock()


class Turn:
    """The time from one invocation's end to that of the next: what is begun in it ends with it."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False
        """Whether it is: then nobody gets a session any more for what was begun in it."""


class Deadline:
    """The moment at which an operation must be over, and how much is left until then.

    It counts on the monotonic clock: within an invocation nothing is frozen, and a wall clock
    that is set must neither end a statement nor prolong one.
    """

    __slots__ = ("_clock", "_turn", "at_s", "began_s")

    def __init__(
        self,
        at_s: float,
        clock: Clock = SYSTEM_CLOCK,
        began_s: float | None = None,
        turn: Turn | None = None,
    ) -> None:
        self.at_s = at_s
        self.began_s = clock.monotonic() if began_s is None else began_s
        """When the time began to be counted: an error says how much there was."""
        self._clock = clock
        self._turn = turn

    @classmethod
    def after(
        cls, seconds: float, clock: Clock = SYSTEM_CLOCK, turn: Turn | None = None
    ) -> Deadline:
        """Return the deadline that is `seconds` from now, of what is begun in this turn."""
        now_s = clock.monotonic()
        return cls(now_s + seconds, clock, now_s, turn)

    @classmethod
    def never(cls) -> Deadline:
        """Return the deadline that does not come."""
        return cls(math.inf)

    def remaining_s(self) -> float:
        """Seconds left; 0 or less when it has passed."""
        return self.at_s - self._clock.monotonic()

    def budget_s(self) -> float:
        """Seconds that there were in all."""
        return self.at_s - self.began_s

    def took_s(self) -> float:
        """Seconds since they began to be counted."""
        return self._clock.monotonic() - self.began_s

    def passed(self) -> bool:
        """Tell whether nothing is left."""
        return self.remaining_s() <= 0

    @property
    def turn_is_over(self) -> bool:
        """Whether the invocation has ended in which this was begun, with time left or without."""
        return self._turn is not None and self._turn.over

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and `seconds` from now."""
        at_s = min(self.at_s, self._clock.monotonic() + seconds)
        return Deadline(at_s, self._clock, self.began_s, self._turn)

    def anew(self, seconds: float) -> Deadline:
        """Return one that is `seconds` from now on the same clock, sooner or later, of no turn."""
        return Deadline.after(seconds, self._clock)

    def __repr__(self) -> str:
        return f"<Deadline in {self.remaining_s():.3f} s>"
