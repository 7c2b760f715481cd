"""PostgreSQL's interval, which has three fields where Python's timedelta has one."""

from __future__ import annotations

from datetime import timedelta

DAY_US = 86_400_000_000


class Interval:
    """Hold an interval as PostgreSQL does: months, days and microseconds, each with its sign.

    A month has no fixed number of days, and a day no fixed number of hours. Two intervals are
    equal when all three fields are. `str()` gives text that PostgreSQL reads as the same value
    under every IntervalStyle.
    """

    __slots__ = ("_fields",)

    def __init__(self, months: int = 0, days: int = 0, microseconds: int = 0) -> None:
        self._fields = (months, days, microseconds)

    @property
    def months(self) -> int:
        """The months; twelve for each year."""
        return self._fields[0]

    @property
    def days(self) -> int:
        """The days."""
        return self._fields[1]

    @property
    def microseconds(self) -> int:
        """The hours, minutes and seconds, in microseconds."""
        return self._fields[2]

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Interval) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        months, days, microseconds = self._fields
        return f"Interval(months={months}, days={days}, microseconds={microseconds})"

    def __str__(self) -> str:
        months, days, microseconds = self._fields
        parts = []
        if months:
            parts.append(f"{months:+d} mons")
        if days:
            parts.append(f"{days:+d} days")
        if microseconds or not parts:
            seconds, fraction = divmod(abs(microseconds), 1_000_000)
            minutes, seconds = divmod(seconds, 60)
            hours, minutes = divmod(minutes, 60)
            sign = "-" if microseconds < 0 else "+"
            rest = f".{fraction:06d}" if fraction else ""
            parts.append(f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{rest}")
        return " ".join(parts)


def as_value(interval: Interval) -> timedelta | Interval:
    """Return a timedelta, with days of 24 hours, where there are no months and it can hold it."""
    if interval.months:
        return interval
    try:
        return timedelta(interval.days, 0, interval.microseconds)
    except OverflowError:
        return interval
