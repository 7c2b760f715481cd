"""Time and sessions for tests that want neither to wait nor to connect."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

from broker.deadline import Deadline, Instant
from broker.settings import Settings, Tls
from broker.wire import USUAL, Manner, Reply, Sighting, Status


class FakeClock:
    """A clock that stands still until somebody sleeps on it or advances it."""

    def __init__(self) -> None:
        self.monotonic_s = 1_000.0
        self.wall_s = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(self.monotonic_s, self.wall_s)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self.monotonic_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let the time pass, on both clocks."""
        self.monotonic_s += seconds
        self.wall_s += seconds

    def freeze(self, seconds: float) -> None:
        """Let only the wall clock pass, as in an environment whose monotonic clock was stopped."""
        self.wall_s += seconds


class FixedRandom(random.Random):
    """Draws the same share of every range."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share = share

    def uniform(self, a: float, b: float) -> float:
        """Return the point at `share` of the way from a to b."""
        return a + (b - a) * self.share


class FakeSession:
    """What a pool and a transaction need of a session; remembers what it was sent."""

    _numbers = itertools.count(1)

    def __init__(self, opened_at: Instant | None = None) -> None:
        self.number = next(self._numbers)
        self.opened_at = self.last_used = opened_at or Instant(0.0, 0.0)
        self.status = Status.IDLE
        self.whole = True
        self.alive = True
        self.in_flight = False
        self.lease: Any = None
        self.closed = 0
        self.abandoned = 0
        self.looked = 0
        self.probed = 0
        self.silent = False
        self.gave_up = self.demoted = self.lost = False
        self.refused: Any = None
        self.flights: list[tuple[bytes | None, bytes]] = []
        self.tracked: list[bool] = []
        self.answers: list[Callable[[], Reply]] = []

    @property
    def clean(self) -> bool:
        """Whether the next user would find it as if new."""
        return self.whole and self.status is Status.IDLE and not self.demoted

    def die(self) -> None:
        """Let the server end it, which only a look can tell."""
        self.alive = False

    def look(self) -> Sighting:
        """Tell whether the server is still there."""
        self.looked += 1
        return Sighting(self.alive, None, None)

    def probe(self, deadline: Deadline) -> bool:
        """Give a sign of life, unless nobody hears."""
        self.probed += 1
        self.whole = not self.silent
        return self.whole

    def bound(self, deadline: Deadline) -> None:
        """Let nothing outlive the deadline."""

    def end_and_give_back(self) -> None:
        """End it, and its lease with it."""
        self.close()
        if self.lease is not None:
            self.lease.give_back()

    def close(self) -> None:
        """End it."""
        self.closed += 1
        self.whole = False

    def abandon(self) -> None:
        """Let go of it."""
        self.abandoned += 1
        self.whole = False

    def execute(
        self,
        text: bytes,
        batch: Any,
        deadline: Deadline,
        *,
        begin: bytes | None = None,
        afterwards: bytes | None = None,
        rides: bool = True,
        manner: Manner = USUAL,
        labels: Any = (),
    ) -> Reply:
        """Answer with the next of `answers`, or as a server does where all is well."""
        self.flights.append((begin, text))
        self.tracked.append(afterwards is not None)
        if self.answers:
            return self.answers.pop(0)()
        word = text.split()[0].lower()
        if begin:
            self.status = Status.TRANSACTION
        elif word == b"commit":
            tag = b"COMMIT" if self.status is Status.TRANSACTION else b"ROLLBACK"
            self.status = Status.IDLE
            return Reply((), [], -1, tag)
        elif word == b"rollback":
            self.status = Status.IDLE
        if afterwards and afterwards.startswith(b"commit"):
            self.status = Status.IDLE
        return Reply(("n",), [[1]], 1, b"SELECT 1")


class Fleet:
    """Opens fake sessions and counts those that are open, at most and now."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.sessions: list[FakeSession] = []
        self.failures: list[BaseException] = []
        self.canceled: list[FakeSession] = []
        self.most_open = 0

    def open(self, deadline: Deadline) -> FakeSession:
        """Open one, or raise the next of `failures`."""
        with self._lock:
            if self.failures:
                raise self.failures.pop(0)
            session = FakeSession(self._clock.now() if self._clock else None)
            self.sessions.append(session)
            self.most_open = max(self.most_open, self.open_now)
            return session

    @property
    def open_now(self) -> int:
        """How many were opened and not closed."""
        return sum(not session.closed for session in self.sessions)


def settings(**changes: Any) -> Settings:
    """Return settings that are complete, with these changes."""
    values: dict[str, Any] = {
        "host": "db.example",
        "database": "appdb",
        "user": "app",
        "password": "s3cret-pässwörd",
        "tls": Tls.OFF,
    }
    return Settings(**{**values, **changes})
