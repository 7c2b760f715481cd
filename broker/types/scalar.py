"""Scalars as the text that PostgreSQL reads, whatever its settings, each with its type's oid.

Each function here returns the oid and the text, and raises Refused for what PostgreSQL's type
cannot hold exactly.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from broker.types.interval import DAY_US, Interval
from broker.types.refused import Refused
from broker.types.wrappers import Json

UNKNOWN = 0
BOOL, BYTEA, INT8, INT4, FLOAT8, NUMERIC = 16, 17, 20, 23, 701, 1700
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, TIMETZ = 1082, 1083, 1114, 1184, 1186, 1266
JSONB, UUID, INET, CIDR = 3802, 2950, 869, 650

INT4_MIN, INT4_MAX = -(2**31), 2**31 - 1
INT8_MIN, INT8_MAX = -(2**63), 2**63 - 1
NUMERIC_DIGITS = 131_072  # before the point (PostgreSQL manual, 8.1 Numeric Types)
NUMERIC_SCALE = 16_383  # after it
NUMERIC_BITS = 435_412  # an int with more bits has more digits than that
WIDEST_OFFSET = timedelta(hours=15, minutes=59, seconds=59)  # MAX_TZDISP_HOUR in PostgreSQL's dt.h

Text = tuple[int, str]


def of_str(value: str) -> Text:
    """Return it untyped, as a literal in single quotes is: the statement decides."""
    if "\0" in value:
        raise Refused("it holds a NUL character, which PostgreSQL's text cannot")
    return UNKNOWN, value


def of_bool(value: bool) -> Text:
    """Return a bool."""
    return BOOL, "t" if value else "f"


def of_int(value: int) -> Text:
    """Return what PostgreSQL makes of an integer literal: int4, or else int8, or else numeric."""
    if INT4_MIN <= value <= INT4_MAX:
        return INT4, f"{int(value)}"
    if INT8_MIN <= value <= INT8_MAX:
        return INT8, f"{int(value)}"
    if value.bit_length() > NUMERIC_BITS:
        raise Refused(f"it has more than the {NUMERIC_DIGITS:,} digits of a numeric")
    return of_decimal(Decimal(value))  # which prints more digits than int does


def of_float(value: float) -> Text:
    """Return a float8 by its shortest exact digits; inf and nan are PostgreSQL's too."""
    return FLOAT8, float.__repr__(value)


def of_decimal(value: Decimal) -> Text:
    """Return a numeric with its trailing zeros."""
    if value.is_finite():
        if value and value.adjusted() >= NUMERIC_DIGITS:
            raise Refused(f"it has more than the {NUMERIC_DIGITS:,} digits of a numeric")
        if -value.as_tuple().exponent > NUMERIC_SCALE:  # type: ignore[operator]  # it is finite
            raise Refused(f"it has more than the {NUMERIC_SCALE:,} decimals of a numeric")
        return NUMERIC, Decimal.__str__(value)
    if value.is_snan():
        raise Refused("PostgreSQL has no signaling NaN")
    if value.is_nan():
        return NUMERIC, "NaN"
    return NUMERIC, "Infinity" if value > 0 else "-Infinity"


def of_bytes(value: bytes | bytearray | memoryview) -> Text:
    """Return a bytea."""
    return BYTEA, "\\x" + value.hex()


def of_date(value: date) -> Text:
    """Return a date in ISO, which every DateStyle reads alike."""
    return DATE, date.isoformat(value)


def of_datetime(value: datetime) -> Text:
    """Return a timestamp, or a timestamptz with its offset."""
    if type(value) is not datetime and (value != value or getattr(value, "nanosecond", False)):
        raise Refused("PostgreSQL's timestamps have no nanoseconds and no NaT")
    offset = value.utcoffset()
    if offset is None:
        return TIMESTAMP, datetime.isoformat(value.replace(tzinfo=None))
    if offset.microseconds or not -WIDEST_OFFSET <= offset <= WIDEST_OFFSET:
        value = value.astimezone(UTC)  # the same instant
    return TIMESTAMPTZ, datetime.isoformat(value)


def of_time(value: time) -> Text:
    """Return a time, or a timetz with its offset."""
    if value.tzinfo is None:
        return TIME, time.isoformat(value)
    offset = value.utcoffset()
    if offset is None:
        raise Refused("its time zone has no offset without a date; give a datetime")
    if offset.microseconds or not -WIDEST_OFFSET <= offset <= WIDEST_OFFSET:
        raise Refused("PostgreSQL's time zone offsets have whole seconds, and end at 15:59:59")
    return TIMETZ, time.isoformat(value)


def of_timedelta(value: timedelta) -> Text:
    """Send whole days of 24 hours as days, and give all fields the same sign."""
    total = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    days, rest = divmod(abs(total), DAY_US)
    return INTERVAL, str(Interval(0, days, rest) if total >= 0 else Interval(0, -days, -rest))


def of_interval(value: Interval) -> Text:
    """Return an interval."""
    return INTERVAL, str(value)


def of_uuid(value: Any) -> Text:
    """Return a uuid."""
    return UUID, str(value)


def of_inet(value: Any) -> Text:
    """Return an address, or an interface with its mask."""
    return INET, str(value)


def of_cidr(value: Any) -> Text:
    """Return a network."""
    return CIDR, str(value)


def of_dict(value: dict[Any, Any]) -> Text:
    """Return a jsonb."""
    return JSONB, _json(value)


def of_json(value: Json) -> Text:
    """Return a jsonb."""
    return JSONB, _json(value.value)


def _json(value: Any) -> str:
    from json import dumps  # weight

    try:
        text = dumps(value, allow_nan=False)
    except TypeError as error:  # names the type
        raise Refused(f"JSON has no type for a part of it: {error}") from None
    except ValueError as error:  # NaN, or a circle
        raise Refused(f"JSON cannot hold a part of it: {error}") from None
    _no_key_twice(value)
    return text


def _no_key_twice(value: Any) -> None:
    """Raise Refused for {1: …, "1": …}: JSON's keys are strings, and one would be lost."""
    if isinstance(value, dict):
        if any(type(key) is not str for key in value):
            from json import dumps  # weight

            written = {dumps({key: 0}) for key in value}
            if len(written) < len(value):
                raise Refused("two of its keys are the same string in JSON")
        for each in value.values():
            _no_key_twice(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _no_key_twice(each)
