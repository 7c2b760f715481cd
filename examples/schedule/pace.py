"""Whether there is time for another batch. Pure."""

from __future__ import annotations

from enum import StrEnum

SAFETY = 2  # a batch may take twice as long as the slowest so far


class End(StrEnum):
    """Why a run ended."""

    DONE = "done"
    BUSY = "another run is at it"
    LATE = "out of time"


def fits(left_s: float, slowest_s: float, spare_s: float) -> bool:
    """Tell whether another batch will be over while `spare_s` of the invocation is left."""
    return left_s - SAFETY * slowest_s > spare_s
