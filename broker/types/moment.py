"""Dates and times from the server, as text and in binary.

What Python's types cannot hold (infinity, years before 1 and after 9999, 24:00:00) comes back as
the text that PostgreSQL prints for it. Text in another DateStyle than ISO stays text: a wrong
guess would swap day and month.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from struct import Struct
from struct import error as StructError

_DATE_TEXT = len("2024-02-29")
_EPOCH = datetime(2000, 1, 1)  # PostgreSQL's, for both timestamp types
_EPOCH_UTC = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(2000, 1, 1).toordinal()
_DAY_US = 86_400_000_000
_CYCLE_DAYS = 146_097  # the Gregorian calendar repeats after 400 years
_INT4, _INT8, _TIMETZ = Struct("!i").unpack, Struct("!q").unpack, Struct("!qi").unpack
_DATE_INFINITY = {2**31 - 1: "infinity", -(2**31): "-infinity"}
_TIMESTAMP_INFINITY = {2**63 - 1: "infinity", -(2**63): "-infinity"}


def date_text(cell: bytes) -> date | str:
    """Return a date from its text."""
    text = cell.decode()
    if len(text) == _DATE_TEXT and text[4] == "-" == text[7]:
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    return text


def timestamp_text(cell: bytes) -> datetime | str:
    """Return a timestamp, or a timestamptz with the offset in its text."""
    text = cell.decode()
    if text[4:5] == "-" == text[7:8] and text[10:11] == " ":
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    return text


def time_text(cell: bytes) -> time | str:
    """Return a time, or a timetz, from its text."""
    text = cell.decode()
    if text[2:3] == ":" == text[5:6] and text[:2] != "24":  # 3.14 reads 24:00 as midnight
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass
    return text


def date_binary(cell: bytes) -> date | str:
    """Return a date from its days since 2000-01-01."""
    (days,) = _unpacked(_INT4, cell)
    ordinal = days + _EPOCH_DAY
    try:
        return date.fromordinal(ordinal)
    except (ValueError, OverflowError):
        return _DATE_INFINITY.get(days) or _day(ordinal, "")


def timestamp_binary(cell: bytes) -> datetime | str:
    """Return a timestamp from its microseconds since 2000-01-01."""
    (microseconds,) = _unpacked(_INT8, cell)
    try:
        return _EPOCH + timedelta(0, 0, microseconds)
    except OverflowError:
        return _TIMESTAMP_INFINITY.get(microseconds) or _instant(microseconds, "")


def timestamptz_binary(cell: bytes) -> datetime | str:
    """Return a timestamptz, in UTC, from its microseconds since 2000-01-01."""
    (microseconds,) = _unpacked(_INT8, cell)
    try:
        return _EPOCH_UTC + timedelta(0, 0, microseconds)
    except OverflowError:
        return _TIMESTAMP_INFINITY.get(microseconds) or _instant(microseconds, "+00")


def time_binary(cell: bytes) -> time | str:
    """Return a time from its microseconds since midnight."""
    (microseconds,) = _unpacked(_INT8, cell)
    return _time(microseconds, None, "")


def timetz_binary(cell: bytes) -> time | str:
    """Return a timetz from its microseconds since midnight and its seconds west of Greenwich."""
    microseconds, west = _unpacked(_TIMETZ, cell)
    zone = timezone(timedelta(0, -west))  # raises ValueError for a day or more
    return _time(microseconds, zone, _offset(-west))


def _unpacked(unpack: object, cell: bytes) -> tuple[int, ...]:
    try:
        return unpack(cell)  # type: ignore[operator,no-any-return]
    except StructError as error:
        raise ValueError(f"a date or time of {len(cell)} bytes") from error


def _time(microseconds: int, zone: timezone | None, offset: str) -> time | str:
    if microseconds == _DAY_US:
        return f"24:00:00{offset}"
    if not 0 <= microseconds < _DAY_US:
        raise ValueError(f"a time of {microseconds} microseconds after midnight")
    return (_EPOCH + timedelta(0, 0, microseconds)).time().replace(tzinfo=zone)


def _offset(east: int) -> str:
    """Return a time zone's offset as PostgreSQL prints it: minutes and seconds if it has any."""
    minutes, seconds = divmod(abs(east), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{'-' if east < 0 else '+'}{hours:02d}"
    if minutes or seconds:
        text += f":{minutes:02d}"
    return text + f":{seconds:02d}" if seconds else text


def _instant(microseconds: int, offset: str) -> str:
    days, rest = divmod(microseconds, _DAY_US)
    clock = (_EPOCH + timedelta(0, 0, rest)).time().isoformat()
    if "." in clock:
        clock = clock.rstrip("0")
    return _day(days + _EPOCH_DAY, f" {clock}{offset}")


def _day(ordinal: int, rest: str) -> str:
    """Return a day of any year in ISO, as PostgreSQL prints it, BC at the end."""
    cycles, within = divmod(ordinal - 1, _CYCLE_DAYS)
    day = date.fromordinal(within + 1)
    year = day.year + 400 * cycles
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{day.month:02d}-{day.day:02d}{rest}{era}"
