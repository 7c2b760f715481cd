"""Records and ranges as text, taken apart (PostgreSQL manual, 8.16.6 and 8.17.5).

Linear in the text's length, and without recursion over it. What is malformed raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from broker.types.range import Multirange, Range

Decoder = Callable[[bytes], Any]

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_DOUBLED = re.compile(rb'\\(.)|""', re.DOTALL)
_FIELD = re.compile(rb'((?:[^"\\(),]++|\\.|"(?:[^"\\]++|""|\\.)*+")*+)(?:,|\Z)', re.DOTALL)
_USUAL = rb'("(?:[^"\\]++|""|\\.)*+"|[^"\\(),]*+),'
_ARE_USUAL = re.compile(b"(?:%b)++" % _USUAL, re.DOTALL).fullmatch
_EACH_USUAL = re.compile(_USUAL, re.DOTALL).findall
_QUOTED_WHOLE = re.compile(rb'"(?:[^"\\]++|""|\\.)*+"', re.DOTALL).fullmatch
_PIECE = re.compile(rb'"((?:[^"\\]++|""|\\.)*+)"|((?:[^"\\]++|\\.)++)', re.DOTALL)
_ONE_RANGE = re.compile(
    rb'empty|[\[(](?:[^"\\(),\[\]]++|\\.|"(?:[^"\\]++|""|\\.)*+")*+,'
    rb'(?:[^"\\(),\[\]]++|\\.|"(?:[^"\\]++|""|\\.)*+")*+[\])]',
    re.DOTALL,
)


def fields(cell: bytes) -> list[bytes | None]:
    """Return the fields of a record, unquoted; None for NULL, which is no text at all.

    `()` is one NULL: the server prints a record without fields alike, and nobody has those.
    """
    if cell[:1] != b"(" or cell[-1:] != b")" or len(cell) < 2:
        raise ValueError("a record does not begin and end with a parenthesis")
    return _split(cell[1:-1])


def _split(inner: bytes) -> list[bytes | None]:
    if b'"' not in inner and b"\\" not in inner:
        if b"(" in inner or b")" in inner:
            raise ValueError("a record or range has a parenthesis outside quotes")
        return [item or None for item in inner.split(b",")]
    ended = inner + b","
    if _ARE_USUAL(ended):  # each field quoted as a whole, or not at all
        return list(map(_unquoted, _EACH_USUAL(ended)))
    found: list[bytes | None] = []
    position, size = 0, len(inner)
    while True:
        field = _FIELD.match(inner, position)
        if field is None:
            raise ValueError("a record or range is malformed")
        found.append(_unquoted(field[1]))
        if field.end(1) == size:
            return found
        position = field.end()  # after a comma


def _unquoted(raw: bytes) -> bytes | None:
    if not raw:
        return None
    if b'"' not in raw and b"\\" not in raw:
        return raw
    if _QUOTED_WHOLE(raw):
        text = raw[1:-1]
        return _DOUBLED.sub(_single, text) if b'"' in text or b"\\" in text else text
    return b"".join(
        _DOUBLED.sub(_single, quoted) if quoted else _ESCAPED.sub(rb"\1", bare)
        for quoted, bare in _PIECE.findall(raw)
    )


def _single(found: re.Match[bytes]) -> bytes:
    return found[1] if found[1] is not None else b'"'


def record(cell: bytes) -> tuple[str | None, ...]:
    """Return an anonymous record as the texts of its fields: the server names no types."""
    return tuple(None if each is None else each.decode() for each in fields(cell))


def composite(decoders: tuple[Decoder, ...], cell: bytes) -> tuple[Any, ...]:
    """Return a composite with each field by its own type. Raises ValueError for another count."""
    given = [] if cell == b"()" and not decoders else fields(cell)
    if len(given) != len(decoders):
        raise ValueError(f"a composite of {len(given)} fields where {len(decoders)} are known")
    return tuple(
        None if each is None else decoder(each)
        for decoder, each in zip(decoders, given, strict=True)
    )


def range_of(bound: Decoder, cell: bytes) -> Range:
    """Return a range with its bounds by their type."""
    if cell == b"empty":
        return Range(is_empty=True)
    opening, closing = cell[:1], cell[-1:]
    if opening not in (b"[", b"(") or closing not in (b"]", b")") or len(cell) < 3:
        raise ValueError("a range does not begin and end with its bounds")
    given = _split(cell[1:-1])
    if len(given) != 2:
        raise ValueError("a range does not have two bounds")
    lower, upper = given
    return Range(
        None if lower is None else bound(lower),
        None if upper is None else bound(upper),
        (opening + closing).decode(),
    )


def multirange_of(bound: Decoder, cell: bytes) -> Multirange:
    """Return a multirange with its bounds by their type."""
    if cell[:1] != b"{" or cell[-1:] != b"}" or len(cell) < 2:
        raise ValueError("a multirange does not begin and end with a brace")
    ranges = Multirange()
    position, end = 1, len(cell) - 1
    while position < end:
        found = _ONE_RANGE.match(cell, position, end)
        if found is None:
            raise ValueError("a multirange is malformed")
        ranges.append(range_of(bound, found[0]))
        position = found.end()
        if position < end:
            if cell[position : position + 1] != b"," or position + 1 == end:
                raise ValueError("a multirange is malformed")
            position += 1
    return ranges
