"""Arrays as text, taken apart (PostgreSQL manual, 8.15.6 Array Input and Output Syntax).

Linear in the text's length, and without recursion over it. What is malformed raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from broker.types.array import DIMENSIONS, Array

Decoder = Callable[[bytes], Any]

_BOUNDS = re.compile(rb"((?:\[-?\d{1,10}:-?\d{1,10}\]){1,6})=")
_BOUND = re.compile(rb"(-?\d+):(-?\d+)")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_USUAL = rb'(?:"((?:[^"\\]++|\\.)*+)"|([^"\\{},]++)),'
_ARE_USUAL = re.compile(b"(?:%b)++" % _USUAL, re.DOTALL).fullmatch
_EACH_USUAL = re.compile(_USUAL, re.DOTALL).findall


@lru_cache(maxsize=16)
def _tokens(delimiter: bytes) -> re.Pattern[bytes]:
    """Return what matches a brace, a delimiter, a quoted or a bare element."""
    mark = re.escape(delimiter)
    return re.compile(
        rb'[{}]|%b|"((?:[^"\\]++|\\.)*+)"|((?:[^"\\{}%b]++|\\.)++)' % (mark, mark), re.DOTALL
    )


def array(delimiter: bytes, element: Decoder, cell: bytes) -> list[Any]:
    """Return an array as lists, one in the other for each dimension, None where it has NULL."""
    lower_bounds: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    if cell[:1] == b"[":
        found = _BOUNDS.match(cell)
        if found is None:
            raise ValueError("an array's bounds are malformed")
        pairs = [(int(low), int(high)) for low, high in _BOUND.findall(found[1])]
        lower_bounds = tuple(low for low, _ in pairs)
        sizes = tuple(high - low + 1 for low, high in pairs)
        cell = cell[found.end() :]
    if cell[:1] != b"{" or cell[-1:] != b"}" or len(cell) < 2:
        raise ValueError("an array does not begin and end with a brace")
    inner = cell[1:-1]
    if b'"' in inner or b"{" in inner or b"\\" in inner or b"}" in inner:
        ended = inner + b","
        if delimiter == b"," and _ARE_USUAL(ended):  # one dimension, and quotes
            elements = [_value(element, *each) for each in _EACH_USUAL(ended)]
            shape = [len(elements)]
        else:
            elements, shape = _Nested(delimiter, element).read(cell)
    else:
        elements = _flat(delimiter, element, inner)
        shape = [len(elements)]
    if lower_bounds and tuple(shape) != sizes:
        raise ValueError("an array's bounds are not those of its elements")
    if lower_bounds or delimiter != b",":
        return Array(elements, lower_bounds, delimiter.decode())
    return elements


def _flat(delimiter: bytes, element: Decoder, inner: bytes) -> list[Any]:
    if not inner:
        return []
    items = inner.split(delimiter)
    if b"" in items:
        raise ValueError("an array has an element without text")
    if b"NULL" in items:
        return [None if item == b"NULL" else element(item) for item in items]
    return list(map(element, items))


def _value(element: Decoder, quoted: bytes, bare: bytes) -> Any:
    if bare:
        return None if bare == b"NULL" else element(bare)
    return element(_ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted)


class _Nested:
    """Reads an array of any shape. Each token may follow only certain others."""

    def __init__(self, delimiter: bytes, element: Decoder) -> None:
        self._scan = _tokens(delimiter).match
        self._element = element
        self._open: list[list[Any]] = []
        self._shape = [-1] * DIMENSIONS
        self._level = 0  # of the elements; 0 before the first one
        self._wants_value = True  # after an opening brace or a delimiter
        self._whole: list[Any] | None = None

    def read(self, cell: bytes) -> tuple[list[Any], list[int]]:
        """Return the array, and its length in each dimension."""
        position, size = 0, len(cell)
        while position < size:
            token = self._scan(cell, position)
            if token is None or self._whole is not None:
                raise ValueError("an array is malformed")
            first = cell[position : position + 1]
            position = token.end()
            if first == b"{":
                self._begin()
            elif first == b"}":
                self._end()
            else:
                self._between(token)
        shape = [length for length in self._shape if length >= 0]
        if self._whole is None or self._level not in (0, len(shape)):
            raise ValueError("an array ends too early, or has elements beside arrays")
        return self._whole, shape

    def _begin(self) -> None:
        if not self._wants_value or len(self._open) == DIMENSIONS:
            raise ValueError("an array is malformed, or has more than six dimensions")
        opened: list[Any] = []
        if self._open:
            self._open[-1].append(opened)
        self._open.append(opened)

    def _end(self) -> None:
        if self._wants_value or not self._open:
            raise ValueError("an array is malformed")
        closed = self._open.pop()
        level = len(self._open)
        if self._shape[level] not in (-1, len(closed)):
            raise ValueError("an array's parts have different lengths")
        self._shape[level] = len(closed)
        if not self._open:
            self._whole = closed

    def _between(self, token: re.Match[bytes]) -> None:
        quoted, bare = token.groups()
        is_value = quoted is not None or bare is not None
        if is_value != self._wants_value or not self._open:
            raise ValueError("an array is malformed")
        self._wants_value = not is_value
        if not is_value:
            return
        if self._level not in (0, len(self._open)):
            raise ValueError("an array has elements beside arrays")
        self._level = len(self._open)
        unescaped = _ESCAPED.sub(rb"\1", bare) if bare and b"\\" in bare else bare
        self._open[-1].append(_value(self._element, quoted or b"", unescaped or b""))
