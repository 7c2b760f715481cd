"""Which function writes the values of a Python type. Types are recognised without importing them.

uuid, ipaddress, pg8000, psycopg and SQLAlchemy are looked for in sys.modules: a value of theirs
cannot exist before they are imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from enum import Enum, Flag
from typing import Any

from broker.types import scalar
from broker.types.interval import Interval
from broker.types.range import Multirange, Range
from broker.types.refused import Refused
from broker.types.wrappers import Json

Scalar = Callable[[Any], scalar.Text]
ARRAY, RECORD, RANGE, MULTIRANGE = "array", "record", "range", "multirange"
Kind = Scalar | str

_KINDS: dict[type, Kind] = {
    str: scalar.of_str,
    bool: scalar.of_bool,
    int: scalar.of_int,
    float: scalar.of_float,
    Decimal: scalar.of_decimal,
    bytes: scalar.of_bytes,
    bytearray: scalar.of_bytes,
    memoryview: scalar.of_bytes,
    date: scalar.of_date,
    datetime: scalar.of_datetime,
    time: scalar.of_time,
    timedelta: scalar.of_timedelta,
    Interval: scalar.of_interval,
    dict: scalar.of_dict,
    Json: scalar.of_json,
    list: ARRAY,
    tuple: RECORD,
    Range: RANGE,
    Multirange: MULTIRANGE,
}


def _of_pg8000(value: Any) -> scalar.Text:
    def total(*units: tuple[str, int]) -> int:
        return sum(_whole(getattr(value, name) or 0, factor) for name, factor in units)

    months = total(
        ("millennia", 12_000), ("centuries", 1_200), ("decades", 120), ("years", 12), ("months", 1)
    )
    days = total(("weeks", 7), ("days", 1))
    microseconds = total(
        ("hours", 3_600_000_000),
        ("minutes", 60_000_000),
        ("seconds", 1_000_000),
        ("microseconds", 1),
    )
    return scalar.of_interval(Interval(months, days, microseconds))


def _whole(number: Any, factor: int) -> int:
    exact = _EXACT.multiply(Decimal(repr(number)), factor)  # 6.7 seconds are 6,700,000
    if exact != int(exact):
        raise Refused(f"its field {number!r} is no whole number of PostgreSQL's units")
    return int(exact)


_EXACT = Context(prec=100)
_MOST = 1_000  # classes made at run time must not fill the memory

_found: dict[type, Kind] = {}

known = _KINDS.get


def kind_of(cls: type) -> Kind | None:
    """Return the function that writes this type, the name of its structure, or None."""
    kind = _KINDS.get(cls) or _found.get(cls)
    if kind is None:
        kind = _find(cls)
        if kind is not None and len(_found) < _MOST:
            _found[cls] = kind
    return kind


def _find(cls: type) -> Kind | None:
    if issubclass(cls, Enum):
        mixed = cls._member_type_ is not object  # type: ignore[attr-defined]  # IntEnum, (str, Enum)
        if mixed:
            return _of_value
        return None if issubclass(cls, Flag) else _of_name
    for base in cls.__mro__:
        kind = _KINDS.get(base) or _named(base)
        if kind is not None:
            return kind
    if issubclass(cls, os.PathLike):
        return _of_path
    if hasattr(cls, "__index__"):
        return _of_index
    return None


def _named(cls: type) -> Kind | None:
    kind = _ELSEWHERE.get((cls.__module__, cls.__qualname__))
    if kind is not None and getattr(sys.modules.get(cls.__module__), cls.__qualname__, 0) is cls:
        return kind
    return None


def _of_value(value: Enum) -> scalar.Text:
    kind = kind_of(type(value.value))
    if kind is None or isinstance(kind, str):
        raise Refused.type_of(value)
    return kind(value.value)


def _of_name(value: Enum) -> scalar.Text:
    return scalar.of_str(value.name)


def _of_path(value: os.PathLike[Any]) -> scalar.Text:
    path = os.fspath(value)
    if not isinstance(path, str):
        raise Refused.type_of(value)
    return scalar.of_str(path)


def _of_index(value: Any) -> scalar.Text:
    try:
        number = value.__index__()
    except TypeError:  # NumPy's arrays have the method, and no number
        raise Refused.type_of(value) from None
    return scalar.of_int(number)


def _of_numpy_float(value: Any) -> scalar.Text:
    return scalar.of_float(float(value))


def _of_numpy_bool(value: Any) -> scalar.Text:
    return scalar.of_bool(bool(value))


_ELSEWHERE: dict[tuple[str, str], Kind] = {
    ("uuid", "UUID"): scalar.of_uuid,
    ("ipaddress", "IPv4Address"): scalar.of_inet,  # IPv4Interface is a subclass
    ("ipaddress", "IPv6Address"): scalar.of_inet,
    ("ipaddress", "IPv4Network"): scalar.of_cidr,
    ("ipaddress", "IPv6Network"): scalar.of_cidr,
    ("numpy", "bool"): _of_numpy_bool,
    ("numpy", "bool_"): _of_numpy_bool,
    ("numpy", "float16"): _of_numpy_float,
    ("numpy", "float32"): _of_numpy_float,
    ("pg8000.types", "PGInterval"): _of_pg8000,
    ("pg8000.types", "Range"): RANGE,
    ("psycopg.types.range", "Range"): RANGE,
    ("psycopg.types.multirange", "Multirange"): MULTIRANGE,
    ("sqlalchemy.dialects.postgresql.ranges", "Range"): RANGE,
    ("sqlalchemy.dialects.postgresql.ranges", "MultiRange"): MULTIRANGE,
}
