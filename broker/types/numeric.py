"""PostgreSQL's numeric in binary (numeric_send in its numeric.c)."""

from __future__ import annotations

from decimal import Decimal
from struct import Struct, unpack_from
from struct import error as StructError

_HEADER = Struct("!HhHH")  # groups of four digits, the first one's weight, sign, decimals
_POSITIVE, _NEGATIVE = 0x0000, 0x4000
_SPECIAL = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_MOST_DECIMALS = 0x3FFF


def read(cell: bytes) -> Decimal:
    """Return a numeric with its trailing zeros. Raises ValueError for what is none."""
    try:
        count, weight, sign, decimals = _HEADER.unpack_from(cell)
        if sign in _SPECIAL:
            return Decimal(_SPECIAL[sign])
        if len(cell) != _HEADER.size + 2 * count:
            raise ValueError(f"a numeric of {len(cell)} bytes with {count} groups of digits")
        groups = unpack_from(f"!{count}H", cell, _HEADER.size)
    except StructError as error:
        raise ValueError(f"a numeric of {len(cell)} bytes") from error
    if sign not in (_POSITIVE, _NEGATIVE) or decimals > _MOST_DECIMALS:
        raise ValueError("a numeric without a valid sign and scale")
    if any(group > 9999 for group in groups):
        raise ValueError("a numeric with a group of more than four digits")
    digits = "".join([f"{group:04d}" for group in groups])
    before = 4 * (weight + 1)  # how many of the digits stand before the point
    whole = digits[: max(before, 0)].ljust(max(before, 0), "0")
    fraction = "0" * max(-before, 0) + digits[max(before, 0) :]
    fraction = fraction[:decimals].ljust(decimals, "0")
    minus = "-" if sign == _NEGATIVE else ""
    return Decimal(f"{minus}{whole or '0'}.{fraction}" if decimals else f"{minus}{whole or '0'}")
