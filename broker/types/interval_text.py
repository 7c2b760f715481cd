"""Intervals as the server prints them, in each IntervalStyle (PostgreSQL manual, 8.5.5)."""

from __future__ import annotations

import re
from datetime import timedelta

from broker.types.interval import Interval, as_value

_US = 1_000_000
_CLOCK = re.compile(r"([+-]?)(\d+):(\d+)(?::(\d+)(?:\.(\d{1,6}))?)?", re.ASCII).fullmatch
_YEAR_MONTH = re.compile(r"([+-]?)(\d+)-(\d+)", re.ASCII).fullmatch
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII).fullmatch
_DECIMAL = re.compile(r"([+-]?)(\d+)(?:\.(\d{1,6}))?", re.ASCII).fullmatch
_ISO = re.compile(
    r"P(?:([+-]?\d+)Y)?(?:([+-]?\d+)M)?(?:([+-]?\d+)D)?"
    r"(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
).fullmatch
_MONTHS = {"year": 12, "years": 12, "mon": 1, "mons": 1}
_DAYS = frozenset({"day", "days"})
_MICROSECONDS = {
    "hour": 3600 * _US,
    "hours": 3600 * _US,
    "min": 60 * _US,
    "mins": 60 * _US,
}
_SECONDS = frozenset({"sec", "secs"})
_INFINITE = frozenset({"infinity", "-infinity"})
_LONGEST = 200  # characters; the longest that a server prints has fewer than 100


def read(cell: bytes) -> timedelta | Interval | str:
    """Return a timedelta, or an Interval where it has months; infinity stays text.

    Raises ValueError for what no IntervalStyle prints.
    """
    text = cell.decode()
    if text in _INFINITE:
        return text
    return as_value(parse(text))


def parse(text: str) -> Interval:
    """Return the fields of an interval in any IntervalStyle. Raises ValueError."""
    if len(text) > _LONGEST:
        raise ValueError("an interval of more characters than any has")
    if text.startswith("P"):
        return _iso_8601(text)
    words = text.split()
    if words and words[0] == "@":
        return _with_units(words[1:])
    if len(words) > 1 and words[1].isalpha():
        return _with_units(words)
    return _sql_standard(words)


def _iso_8601(text: str) -> Interval:
    found = _ISO(text)
    if found is None or len(text) < 3:
        raise ValueError(f"no interval: {text!r}")
    years, months, days, hours, minutes = (int(each or 0) for each in found.groups()[:5])
    microseconds = _seconds(found[6]) if found[6] else 0
    return Interval(years * 12 + months, days, (hours * 3600 + minutes * 60) * _US + microseconds)


def _with_units(words: list[str]) -> Interval:
    """Read postgres and postgres_verbose, whose last word may be "ago"."""
    months = days = microseconds = 0
    ago = bool(words) and words[-1] == "ago"
    if ago:
        words = words[:-1]
    if words == ["0"]:
        return Interval()
    position = 0
    while position < len(words):
        word = words[position]
        if ":" in word:
            microseconds += _clock(word)
            position += 1
            continue
        unit = words[position + 1] if position + 1 < len(words) else ""
        if unit in _SECONDS:
            microseconds += _seconds(word)
        elif not _WHOLE(word):
            raise ValueError(f"no field of an interval: {word!r}")
        elif unit in _MONTHS:
            months += int(word) * _MONTHS[unit]
        elif unit in _DAYS:
            days += int(word)
        elif unit in _MICROSECONDS:
            microseconds += int(word) * _MICROSECONDS[unit]
        else:
            raise ValueError(f"no unit of an interval: {unit!r}")
        position += 2
    sign = -1 if ago else 1
    return Interval(sign * months, sign * days, sign * microseconds)


def _sql_standard(words: list[str]) -> Interval:
    """Read "1-2", "3 4:05:06", "+1-2 -3 +4:05:06" and, which postgres prints too, "04:05:06".

    A minus sign before the days is the time's too, unless that has a sign of its own.
    """
    if words == ["0"]:
        return Interval()
    months = days = microseconds = 0
    rest = list(words)
    if rest and (found := _YEAR_MONTH(rest[0])):
        months = int(found[2]) * 12 + int(found[3])
        months = -months if found[1] == "-" else months
        del rest[0]
        if not rest:
            return Interval(months)
    day = ""
    if len(rest) == 2 and _WHOLE(rest[0]):
        day = rest.pop(0)
        days = int(day)
    if len(rest) != 1:
        raise ValueError(f"no interval: {' '.join(words)!r}")
    microseconds = _clock(rest[0])
    if day.startswith("-") and rest[0][0] not in "+-":
        microseconds = -microseconds
    return Interval(months, days, microseconds)


def _clock(word: str) -> int:
    found = _CLOCK(word)
    if found is None:
        raise ValueError(f"no time of an interval: {word!r}")
    sign, hours, minutes, seconds, fraction = found.groups()
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
    total = whole * _US + int((fraction or "").ljust(6, "0"))
    return -total if sign == "-" else total


def _seconds(word: str) -> int:
    found = _DECIMAL(word)
    if found is None:
        raise ValueError(f"no seconds of an interval: {word!r}")
    sign, seconds, fraction = found.groups()
    total = int(seconds) * _US + int((fraction or "").ljust(6, "0"))
    return -total if sign == "-" else total
