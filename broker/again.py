"""A whole transaction is run again where the server kept nothing of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

from broker.backoff import delay_s
from broker.deadline import Clock, Deadline
from broker.demotion import runs_again
from broker.errors import BrokerError

T = TypeVar("T")
ATTEMPTS = 3  # of a whole transaction; more than that is contention to be designed away


def run(
    once: Callable[[], T],
    attempts: int,
    deadline: Deadline,
    clock: Clock,
    rng: random.Random,
    count: Callable[[str], None],
) -> T:
    """Return what `once` returns, called again after a retryable error.

    Raises the last error after so many attempts, or at the deadline.
    """
    started_s = clock.monotonic()
    for attempt in itertools.count():
        try:
            return once()
        except Exception as error:
            ours = _ours(error)
            wait_s = delay_s(attempt, rng)
            since_s = clock.monotonic() - started_s
            if ours is None or not runs_again(ours, attempt, attempts, since_s):
                raise
            if wait_s >= deadline.remaining_s():
                raise
            count("transaction_retries")
            clock.sleep(wait_s)
    raise AssertionError("unreachable")


def _ours(error: Exception) -> BrokerError | None:
    """Return the broker's own error: itself, or what SQLAlchemy has wrapped."""
    found = error if isinstance(error, BrokerError) else getattr(error, "orig", None)
    return found if isinstance(found, BrokerError) else None
