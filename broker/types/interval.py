"""PostgreSQL's interval, which has three fields where Python's timedelta has one."""

from __future__ import annotations

from dataclasses import dataclass

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold an interval as PostgreSQL does: months, days and microseconds, each with its sign.

    A month has no fixed number of days, and a day no fixed number of hours. Two intervals are
    equal when all three fields are. `str()` gives text that PostgreSQL reads as the same value
    under every IntervalStyle.
    """

    months: int = 0
    days: int = 0
    microseconds: int = 0

    def __str__(self) -> str:
        fields = []
        if self.months:
            fields.append(f"{self.months:+d} mons")
        if self.days:
            fields.append(f"{self.days:+d} days")
        if self.microseconds or not fields:
            seconds, fraction = divmod(abs(self.microseconds), 1_000_000)
            minutes, seconds = divmod(seconds, 60)
            hours, minutes = divmod(minutes, 60)
            sign = "-" if self.microseconds < 0 else "+"
            part = f".{fraction:06d}" if fraction else ""
            fields.append(f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{part}")
        return " ".join(fields)
