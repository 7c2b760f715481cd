"""What surely did not run is sent again, on another session."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

from broker.backoff import delay_s
from broker.deadline import Clock, Deadline
from broker.errors import ConnectionLost

T = TypeVar("T")


def send_again(
    error: ConnectionLost,
    attempt: Callable[[], T],
    deadline: Deadline,
    clock: Clock,
    rng: random.Random,
) -> T:
    """Return what `attempt` returns, made until it is sent; raise what may have run, or is late."""
    for count in itertools.count():
        wait_s = delay_s(count, rng)
        if error.may_have_run or wait_s >= deadline.remaining_s():
            raise error
        clock.sleep(wait_s)
        try:
            return attempt()
        except ConnectionLost as lost:
            error = lost
    raise AssertionError("unreachable")
