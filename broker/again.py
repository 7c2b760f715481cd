"""A whole transaction is run again where the server kept nothing of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from broker.backoff import delay_s
from broker.deadline import Clock, Deadline
from broker.errors import BrokerError
from broker.transaction import Transaction

T = TypeVar("T")
GoesOn = Callable[[BrokerError, int, float], bool]
ATTEMPTS = 3  # of a whole transaction; more than that is contention to be designed away
READ_ATTEMPTS = 2  # of a statement that nobody asked to run again: it may be what ends its session


@dataclass(eq=False)
class Attempt:
    """One run of what may be run again, and the transactions that other faces began in it."""

    deadline: Deadline
    begun: list[Transaction] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the server kept something of it."""
        return any(transaction.committed for transaction in self.begun)


def run(
    once: Callable[[Attempt], T],
    goes_on: GoesOn,
    deadline: Deadline,
    clock: Clock,
    rng: random.Random,
    count: Callable[[str], None],
) -> T:
    """Return what `once` returns, called again while `goes_on(error, attempt, since_s)`.

    Raises the last error, at the latest at the deadline, and any of a run that kept something.
    """
    started_s = clock.monotonic()
    for number in itertools.count():
        attempt = Attempt(deadline)
        try:
            return once(attempt)
        except Exception as error:
            wait_s = delay_s(number, rng)
            if attempt.kept or not _may(error, goes_on, number, clock.monotonic() - started_s):
                raise
            if wait_s >= deadline.remaining_s():
                raise
        count("transaction_retries")
        clock.sleep(wait_s)
    raise AssertionError("unreachable")


def _may(error: Exception, goes_on: GoesOn, number: int, since_s: float) -> bool:
    """Judge the broker's own error: this one, or what SQLAlchemy has wrapped."""
    ours = error if isinstance(error, BrokerError) else getattr(error, "orig", None)
    return isinstance(ours, BrokerError) and goes_on(ours, number, since_s)
