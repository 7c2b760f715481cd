"""What surely did not run is sent again, on another session."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

from broker.backoff import delay_s
from broker.deadline import Clock, Deadline
from broker.demotion import sends_again
from broker.errors import ConnectionLost, WriteRefused

T = TypeVar("T")


def send(
    attempt: Callable[[], T],
    elsewhere: Callable[[], T],
    deadline: Deadline,
    clock: Clock,
    rng: random.Random,
    *,
    refused_too: bool,
) -> T:
    """Return what `attempt` returns, or `elsewhere` if that surely did not run.

    With `refused_too`, also what a server refused as read-only. Raises what may have run, what is
    refused for too long, or the last error at the deadline or once its invocation has ended.
    """
    try:
        return attempt()
    except (ConnectionLost, WriteRefused) as error:
        if isinstance(error, WriteRefused) and not refused_too:
            raise
        return _again(error, elsewhere, deadline, clock, rng)


def _again(
    error: ConnectionLost | WriteRefused,
    attempt: Callable[[], T],
    deadline: Deadline,
    clock: Clock,
    rng: random.Random,
) -> T:
    started_s, seen = clock.monotonic(), False
    for count in itertools.count():
        wait_s = delay_s(count, rng)
        since_s = clock.monotonic() - started_s
        if isinstance(error, WriteRefused):
            seen = seen or error.by_server is not False
            more = sends_again(count, since_s, seen=seen)
        else:
            more = not error.may_have_run
        if not more or deadline.turn_is_over or wait_s >= deadline.remaining_s():
            if count:
                error.add_note(f"attempt {count + 1}, {since_s:.1f} s after the first")
            raise error
        clock.sleep(wait_s)
        try:
            return attempt()
        except (ConnectionLost, WriteRefused) as again:
            error = again
    raise AssertionError("unreachable")
