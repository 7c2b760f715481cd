"""Waiting for what is about to happen, without a guess at how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def wait_until(predicate: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
    """Give the predicate's first true value, or fail saying what was waited for.

    The last look is after the time is up, so that a machine that stood still is no failure.
    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() >= give_up_at
        value = predicate()
        if value:
            return value
        if late:
            raise AssertionError(f"waited {timeout_s:g} s for {what}; last seen: {value!r}")
        time.sleep(POLL_S)
