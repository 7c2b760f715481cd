"""Moments of the simulated day, and bursts, as the command line has them."""

from __future__ import annotations

import re

from broker.plan import quantity
from broker.simulate.traffic import Burst

_MOMENT = re.compile(r"([0-9]{1,3}):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_BURST = re.compile(r"([0-9]+(?:\.[0-9]+)?)x@([0-9:]+)\+(.+)", re.ASCII)
MOST_TIMES = 100_000
MOST_S = 7 * 86_400.0
SHORT_S = 600.0


def read_moment(text: str) -> float:
    """Return the seconds since midnight of "14:00" or "14:00:30"; ValueError says what is wrong."""
    match = _MOMENT.fullmatch(text)
    if not match:
        raise ValueError("is not a time of day as 14:00 or 14:00:30")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def read_burst(text: str) -> Burst:
    """Return "10x@12:00+5min" as a burst; ValueError says what is wrong."""
    match = _BURST.fullmatch(text)
    if not match:
        raise ValueError("is not a burst as 10x@12:00+5min")
    times, at, duration = match.groups()
    if not 0 < float(times) <= MOST_TIMES:
        raise ValueError(f"must be more than 0 and at most {MOST_TIMES:,} times the traffic")
    return Burst(float(times), read_moment(at), read_duration(duration))


def read_duration(text: str) -> float:
    """Return "50 ms" in seconds; ValueError says what is wrong."""
    seconds = quantity.read(text, quantity.SECONDS)
    if not 0 <= seconds <= MOST_S:
        raise ValueError("is longer than a week")
    return seconds


def show_moment(at_s: float, duration_s: float) -> str:
    """Return a moment of a run of this length as people read it: 14:00, 14:00:30, or 2.5 s."""
    if duration_s < SHORT_S:
        return f"{at_s:.1f} s"
    minutes, seconds = divmod(int(at_s), 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text
