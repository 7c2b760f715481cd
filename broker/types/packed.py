"""Arrays and ranges in binary (array_send, range_send and multirange_send in PostgreSQL).

Nothing is allocated by an announced size: each element takes four bytes that must be there.
What is malformed raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any

from broker.types.array import DIMENSIONS, Array
from broker.types.range import Multirange, Range

Decoder = Callable[[bytes], Any]

_INT4 = Struct("!i").unpack_from
_ARRAY_HEADER = Struct("!iiI")  # dimensions, whether there are NULLs, the element's oid
_DIMENSION = Struct("!ii")  # length, lower bound
_EMPTY, _LOWER_INC, _UPPER_INC, _LOWER_INF, _UPPER_INF = 0x01, 0x02, 0x04, 0x08, 0x10


def array(element: Decoder, cell: bytes) -> list[Any]:
    """Return an array as lists, one in the other for each dimension, None where it has NULL."""
    try:
        count, _, _ = _ARRAY_HEADER.unpack_from(cell)
        if not 0 <= count <= DIMENSIONS:
            raise ValueError(f"an array of {count} dimensions")
        begin = _ARRAY_HEADER.size
        pairs = [_DIMENSION.unpack_from(cell, begin + 8 * each) for each in range(count)]
    except StructError as error:
        raise ValueError(f"an array of {len(cell)} bytes") from error
    total = 1 if count else 0
    for length, _ in pairs:
        if length < 0:
            raise ValueError(f"an array's dimension of {length} elements")
        total *= length
    position = begin + 8 * count
    if 4 * total > len(cell) - position:
        raise ValueError(f"an array of {len(cell)} bytes with {total} elements")
    values, end = _cells(cell, position, total, element)
    if end != len(cell):
        raise ValueError("an array has bytes after its last element")
    for length, _ in pairs[:0:-1]:
        if not length:
            return []
        values = [values[begin : begin + length] for begin in range(0, len(values), length)]
    if any(low != 1 for _, low in pairs) and values:
        return Array(values, [low for _, low in pairs])
    return values


def _cells(cell: bytes, position: int, count: int, element: Decoder) -> tuple[list[Any], int]:
    """Return `count` length-prefixed values that begin at `position`, and where they end."""
    values: list[Any] = []
    size = len(cell)
    try:
        for _ in range(count):
            (length,) = _INT4(cell, position)
            position += 4
            if length < 0:
                values.append(None)
                continue
            end = position + length
            if end > size:
                raise ValueError("a value ends too early")
            values.append(element(cell[position:end]))
            position = end
    except StructError as error:
        raise ValueError("a value ends too early") from error
    return values, position


def range_of(bound: Decoder, cell: bytes) -> Range:
    """Return a range with its bounds by their type."""
    if not cell:
        raise ValueError("a range of no bytes")
    flags = cell[0]
    if flags & _EMPTY:
        return Range(is_empty=True)
    has_lower, has_upper = not flags & _LOWER_INF, not flags & _UPPER_INF
    bounds, end = _cells(cell, 1, has_lower + has_upper, bound)
    if end != len(cell) or None in bounds:
        raise ValueError(f"a range of {len(cell)} bytes is malformed")
    inclusion = ("[" if flags & _LOWER_INC else "(") + ("]" if flags & _UPPER_INC else ")")
    lower = bounds[0] if has_lower else None
    return Range(lower, bounds[-1] if has_upper else None, inclusion)


def multirange_of(bound: Decoder, cell: bytes) -> Multirange:
    """Return a multirange with its bounds by their type."""
    if len(cell) < 4:
        raise ValueError("a multirange of no bytes")
    (count,) = _INT4(cell)
    if not 0 <= 4 * count <= len(cell) - 4:
        raise ValueError(f"a multirange of {len(cell)} bytes with {count} ranges")
    ranges, end = _cells(cell, 4, count, lambda each: range_of(bound, each))
    if end != len(cell) or None in ranges:
        raise ValueError("a multirange is malformed")
    return Multirange(ranges)
