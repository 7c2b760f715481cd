"""Scalars from the text that the server prints for them. Each function takes the cell's bytes."""

from __future__ import annotations

import re
from binascii import a2b_hex
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any

from broker.types import moment

Decoder = Callable[[bytes], Any]


class _Words(dict[bytes, bool]):
    def __missing__(self, cell: bytes) -> bool:
        raise ValueError(f"a bool is t or f, not {cell[:20]!r}")


_ESCAPES = re.compile(rb"\\(\\|[0-3][0-7][0-7]|)")


def numeric(cell: bytes) -> Decimal:
    """Return a numeric with its trailing zeros."""
    try:
        return Decimal(cell.decode())
    except InvalidOperation:
        raise ValueError(f"no numeric: {cell[:20]!r}") from None


def bytea(cell: bytes) -> bytes:
    """Return a bytea from either bytea_output: hex, or escape."""
    if cell[:2] == b"\\x":
        return a2b_hex(cell[2:])
    return _ESCAPES.sub(_byte, cell) if b"\\" in cell else cell


def _byte(found: re.Match[bytes]) -> bytes:
    escaped = found[1]
    if not escaped:
        raise ValueError("a bytea has a lone backslash")
    return escaped if escaped == b"\\" else bytes((int(escaped, 8),))


def _interval() -> Decoder:
    from broker.types.interval_text import read  # weight: its expressions

    return read


_FLOAT_DIGITS = 308  # a number that is shorter and has no exponent is within float's range


def _float_or_decimal(digits: str) -> float | Decimal:
    value = float(digits)
    return Decimal(digits) if isinf(value) else value


def _json() -> Decoder:
    from json import loads  # weight

    def read(cell: bytes) -> Any:
        text = cell.decode()
        try:
            if len(cell) < _FLOAT_DIGITS and b"e" not in cell and b"E" not in cell:
                return loads(text)
            return loads(text, parse_float=_float_or_decimal)  # which may be beyond float
        except RecursionError:
            raise ValueError("a JSON value is nested too deep for Python") from None
        except ValueError as error:
            if "digits" not in str(error):  # sys.set_int_max_str_digits
                raise
            return loads(
                text,
                parse_float=_float_or_decimal,
                parse_int=lambda digits: int(Decimal(digits)),
            )

    return read


def _uuid() -> Decoder:
    from uuid import UUID  # weight

    return lambda cell: UUID(cell.decode())


def _inet() -> Decoder:
    from ipaddress import ip_address, ip_interface  # weight

    return lambda cell: ip_interface(cell.decode()) if b"/" in cell else ip_address(cell.decode())


def _cidr() -> Decoder:
    from ipaddress import ip_network  # weight

    return lambda cell: ip_network(cell.decode())


_READY: dict[int, Decoder] = {
    16: _Words({b"t": True, b"f": False}).__getitem__,
    17: bytea,
    20: int,
    21: int,
    23: int,
    26: int,  # oid
    700: float,
    701: float,
    1082: moment.date_text,
    1083: moment.time_text,
    1114: moment.timestamp_text,
    1184: moment.timestamp_text,
    1266: moment.time_text,
    1700: numeric,
}
_LATER: dict[int, Callable[[], Decoder]] = {
    114: _json,
    650: _cidr,
    869: _inet,
    1186: _interval,
    2950: _uuid,
    3802: _json,
}


def decoder(oid: int) -> Decoder:
    """Return what reads this type's text. Types without a rule are their text."""
    ready = _READY.get(oid)
    if ready is not None:
        return ready
    later = _LATER.get(oid)
    if later is None:
        return bytes.decode
    _READY[oid] = made = later()
    return made
