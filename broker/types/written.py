"""Any value as text: scalars, and the arrays, records and ranges that are made of them.

PostgreSQL manual: 8.15 Arrays, 8.16 Composite Types, 8.17 Range Types, each under "Input".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from broker.types import kind as kinds
from broker.types.array import DIMENSIONS, Array
from broker.types.catalog import ARRAY_OF, MULTIRANGE_OF
from broker.types.kind import kind_of
from broker.types.refused import Refused
from broker.types.scalar import (
    DATE,
    FLOAT8,
    INT4,
    INT4_MAX,
    INT4_MIN,
    INT8,
    INT8_MAX,
    INT8_MIN,
    INTERVAL,
    NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TIMETZ,
    UNKNOWN,
    Text,
)

Adapters = Mapping[type, Callable[[Any], Any]]

EMPTY_ARRAY = "\f{}"
"""PostgreSQL skips a form feed and JSON has none: `:v::jsonb` of [] is refused, and no object."""

_DEEPEST = 50  # records in records; a value that contains itself ends here
_RANGE_OF = {NUMERIC: 3906, TIMESTAMP: 3908, TIMESTAMPTZ: 3910, DATE: 3912}
_TAKES_WORDS = frozenset({DATE, TIME, TIMESTAMP, TIMESTAMPTZ, TIMETZ, INTERVAL})
"""Types that have values, such as infinity, for which Python has only their text."""
_INTEGERS = (INT4, INT8, NUMERIC)
_NUMBERS = frozenset({*_INTEGERS, FLOAT8})
_MULTIRANGES = frozenset(MULTIRANGE_OF.values())
_WORD = "word"
_EXACT_IN_FLOAT = 2**53
_BARE = re.compile(r"[A-Za-z0-9_.:+\-/]+", re.ASCII).fullmatch
_SPECIAL = re.compile(r'["\\]')


def text_of(value: Any, adapters: Adapters | None = None, depth: int = 0) -> Text:
    """Return the type's oid, 0 where the statement decides, and the text. `value` is not None.

    Raises Refused; whatever the value's own methods and the adapters raise comes through.
    """
    if depth > _DEEPEST:
        raise Refused(f"it is nested more than {_DEEPEST} levels deep, or contains itself")
    if adapters:
        adapter = _adapter(type(value), value, adapters)
        if adapter is not None:
            value = adapter(value)
            if value is None:
                raise Refused("its adapter returned None")
    kind = kind_of(type(value))
    if kind is None:
        raise Refused.type_of(value)
    if not isinstance(kind, str):
        return kind(value)
    return _STRUCTURES[kind](value, adapters, depth)


def _adapter(cls: type, value: Any, adapters: Adapters) -> Callable[[Any], Any] | None:
    """Return the adapter of the nearest class that has one; ours, of a nearer class, goes first."""
    for base in cls.__mro__:
        if base in adapters:
            return adapters[base]
        if kinds.known(base) and not issubclass(cls, Enum):
            return None
    for registered, adapter in adapters.items():  # an abstract class has no part in the MRO
        if isinstance(value, registered):
            return adapter
    return None


def _quoted(text: str, escape: str) -> str:
    return '"' + _SPECIAL.sub(escape, text) + '"'


def _array(values: list[Any], adapters: Adapters | None, depth: int) -> Text:
    if not values:
        return UNKNOWN, EMPTY_ARRAY
    if not adapters and type(values) is list and set(map(type, values)) == {int}:
        low, high = min(values), max(values)
        if low >= INT8_MIN and high <= INT8_MAX:  # the usual case: `= any(:ids)`
            fits = low >= INT4_MIN and high <= INT4_MAX
            text = "{" + repr(values)[1:-1].replace(" ", "") + "}"
            return ARRAY_OF[INT4 if fits else INT8], text
    return _ArrayText(adapters, depth).of(values)


class _ArrayText:
    """Writes one array of any shape, and finds the type of its elements."""

    def __init__(self, adapters: Adapters | None, depth: int) -> None:
        self._adapters = adapters
        self._depth = depth + 1
        self._delimiter = ","
        self._shape: list[int] = []
        self._leaves: list[tuple[int, Any]] = []

    def of(self, values: list[Any]) -> Text:
        """Return the array's type and text."""
        bounds: tuple[int, ...] = ()
        if isinstance(values, Array):
            bounds, self._delimiter = values.lower_bounds, values.delimiter
        text = self._dimension(values, 0)
        if bounds:
            text = _with_bounds(bounds, self._shape) + text
        return ARRAY_OF.get(_unified(self._leaves), UNKNOWN), text

    def _dimension(self, values: list[Any], level: int) -> str:
        if level == DIMENSIONS:
            raise Refused(f"an array of PostgreSQL's has no more than {DIMENSIONS} dimensions")
        if not values:
            raise Refused("an array of PostgreSQL's cannot hold an empty array")
        first = level == len(self._shape)
        if first:
            self._shape.append(len(values))
        elif self._shape[level] != len(values):
            raise Refused("the lists within it have different lengths")
        nested = {_is_list(each, self._adapters) for each in values}
        deepest = not first and level + 1 == len(self._shape)
        if len(nested) > 1 or (not first and nested == {deepest}):
            raise Refused("it has lists beside what are no lists")
        if nested == {True}:
            parts = [self._dimension(each, level + 1) for each in values]
        else:
            parts = [self._element(each) for each in values]
        return "{" + self._delimiter.join(parts) + "}"

    def _element(self, value: Any) -> str:
        if value is None:
            return "NULL"
        oid, text = text_of(value, self._adapters, self._depth)
        self._leaves.append((oid, value))
        if _BARE(text) and text.upper() != "NULL" and self._delimiter not in text:
            return text
        return _quoted(text, r"\\\g<0>")


def _is_list(value: Any, adapters: Adapters | None) -> bool:
    if adapters and value is not None and _adapter(type(value), value, adapters):
        return False
    return kind_of(type(value)) is kinds.ARRAY


def _with_bounds(lower_bounds: tuple[int, ...], shape: list[int]) -> str:
    if len(lower_bounds) != len(shape):
        raise Refused(f"it has {len(shape)} dimensions and {len(lower_bounds)} lower bounds")
    pairs = zip(lower_bounds, shape, strict=True)
    return "".join(f"[{low}:{low + size - 1}]" for low, size in pairs) + "="


def _unified(leaves: list[tuple[int, Any]]) -> int:
    """Return the one type of all elements; raise Refused where it would change one of them."""
    given = {oid for oid, _ in leaves}
    if given <= _NUMBERS:
        if FLOAT8 not in given:
            return max(given, key=_INTEGERS.index, default=UNKNOWN)
        if len(given) == 1:
            return FLOAT8
        if NUMERIC not in given and all(_exact_in_float(oid, each) for oid, each in leaves):
            return FLOAT8
        raise Refused("it has numbers beside floats that a float cannot hold exactly")
    untyped = {_form(each) for oid, each in leaves if oid == UNKNOWN}
    given.discard(UNKNOWN)
    if not given and len(untyped) == 1:
        return UNKNOWN
    if len(given) == 1:
        (oid,) = given
        if untyped <= _may_stand_beside(oid):
            return oid
    raise Refused("a list's elements must be of one type; give texts, or a tuple for a record")


def _may_stand_beside(oid: int) -> set[str]:
    """Return which untyped elements are of this type as well: words, or ranges without bounds."""
    if oid in _TAKES_WORDS:
        return {_WORD}
    if oid in MULTIRANGE_OF:
        return {kinds.RANGE}
    return {kinds.MULTIRANGE} if oid in _MULTIRANGES else set()


def _exact_in_float(oid: int, value: Any) -> bool:
    return oid == FLOAT8 or -_EXACT_IN_FLOAT <= value <= _EXACT_IN_FLOAT


def _form(value: Any) -> str:
    kind = kind_of(type(value))
    return kind if isinstance(kind, str) else _WORD


def _record(values: tuple[Any, ...], adapters: Adapters | None, depth: int) -> Text:
    parts = []
    for each in values:
        if each is None:
            parts.append("")
            continue
        _, text = text_of(each, adapters, depth + 1)
        parts.append(text if _BARE(text) else _quoted(text, r"\g<0>\g<0>"))
    return UNKNOWN, "(" + ",".join(parts) + ")"


def _bound(value: Any, adapters: Adapters | None, depth: int) -> Text:
    if value is None:
        return UNKNOWN, ""
    oid, text = text_of(value, adapters, depth + 1)
    return oid, text if _BARE(text) else _quoted(text, r"\g<0>\g<0>")


def _range(value: Any, adapters: Adapters | None, depth: int) -> Text:
    """Type it by its bounds, except ints: PostgreSQL has two types for them and casts neither."""
    if _is_empty(value):
        return UNKNOWN, "empty"
    lower_oid, lower = _bound(value.lower, adapters, depth)
    upper_oid, upper = _bound(value.upper, adapters, depth)
    bounds = value.bounds if value.bounds else "[)"
    oids = {lower_oid, upper_oid} - {UNKNOWN}
    if len(oids) > 1 and not oids <= set(_INTEGERS):
        raise Refused("a range's bounds must be of one type")
    words = isinstance(value.lower, str) or isinstance(value.upper, str)
    if words and not oids <= _TAKES_WORDS:
        raise Refused("a range's bounds must be of one type")
    oid = _RANGE_OF.get(max(oids, key=_numeric_last), UNKNOWN) if oids else UNKNOWN
    return oid, f"{bounds[0]}{lower},{upper}{bounds[1]}"


def _numeric_last(oid: int) -> int:
    return oid if oid == NUMERIC else 0


def _is_empty(value: Any) -> bool:
    """Whether a range is empty, as ours and pg8000's, as psycopg's, or as SQLAlchemy's say so."""
    for name in ("is_empty", "isempty", "empty"):
        said = getattr(value, name, None)
        if isinstance(said, bool):
            return said
    return False


def _multirange(values: Any, adapters: Adapters | None, depth: int) -> Text:
    oids: set[int] = set()
    parts = []
    for each in values:
        if each is None or kind_of(type(each)) is not kinds.RANGE:
            raise Refused(f"a multirange consists of ranges, not of a {type(each).__qualname__}")
        oid, text = _range(each, adapters, depth + 1)
        oids.add(oid)
        parts.append(text)
    oids.discard(UNKNOWN)
    if len(oids) > 1:
        raise Refused("the ranges of a multirange must be of one type")
    oid = MULTIRANGE_OF.get(oids.pop(), UNKNOWN) if oids else UNKNOWN
    return oid, "{" + (",".join(parts) or "empty") + "}"  # {} would be JSON's empty object


_STRUCTURES: Mapping[str, Callable[[Any, Adapters | None, int], Text]] = {
    kinds.ARRAY: _array,
    kinds.RECORD: _record,
    kinds.RANGE: _range,
    kinds.MULTIRANGE: _multirange,
}
