"""A statement's parameters: each value's type, its format and its bytes, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from broker.errors import ParameterError
from broker.types import scalar
from broker.types.catalog import ARRAY_OF
from broker.types.refused import Refused
from broker.types.written import EMPTY_ARRAY, Adapters, text_of

TEXT_FORMAT, BINARY_FORMAT = 0, 1
MOST_PARAMETERS = 65_535  # Bind counts them in 16 bits (PostgreSQL manual, 54.7 Message Formats)

Parameter = tuple[int, int, bytes | None]
"""The type's oid, 0 where the statement decides; the format; the bytes, None for NULL."""

Row = tuple[tuple[int, ...] | None, list[bytes | None]]
"""The formats, None where all are text; and the cells."""


class Group(NamedTuple):
    """Consecutive rows of a batch that share one Parse."""

    oids: tuple[int, ...]
    rows: list[Row]


def _none(_: None) -> Parameter:
    return 0, TEXT_FORMAT, None


def _int(value: int) -> Parameter:
    if -2147483648 <= value <= 2147483647:
        return scalar.INT4, TEXT_FORMAT, b"%d" % value
    oid, text = scalar.of_int(value)
    return oid, TEXT_FORMAT, text.encode()


def _str(value: str) -> Parameter:
    data = value.encode()
    if b"\0" in data:
        raise Refused("it holds a NUL character, which PostgreSQL's text cannot")
    return 0, TEXT_FORMAT, data


def _bool(value: bool) -> Parameter:
    return scalar.BOOL, TEXT_FORMAT, b"t" if value else b"f"


def _float(value: float) -> Parameter:
    return scalar.FLOAT8, TEXT_FORMAT, b"%r" % value


def _bytes(value: bytes | bytearray | memoryview) -> Parameter:
    return scalar.BYTEA, BINARY_FORMAT, bytes(value)


_FAST: dict[type, Callable[[Any], Parameter]] = {
    type(None): _none,
    int: _int,
    str: _str,
    bool: _bool,
    float: _float,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
}
_fast = _FAST.get


def encode(value: object, adapters: Adapters | None = None) -> Parameter:
    """Return one value as a parameter. Raises ParameterError for what cannot be sent exactly."""
    encoder = None if adapters else _fast(type(value))
    try:
        return encoder(value) if encoder else _slowly(value, adapters)
    except (Refused, UnicodeEncodeError) as error:
        raise _error("a parameter", error) from error


def encode_batch(
    batch: Sequence[Sequence[object]],
    labels: Sequence[str] = (),
    oids: Sequence[int] = (),
    adapters: Mapping[type, Callable[[Any], Any]] | None = None,
) -> list[Group]:
    """Return the rows of parameters, in groups that share their parameters' types.

    NULL takes the type that other rows have there, and int4 becomes int8 beside int8; any other
    difference begins a new group, because another type can mean another operator. `oids`, if
    given, overrides the types, except where it is 0 or -1. `labels` name the parameters in
    errors. Raises ParameterError for a value that cannot be sent exactly, before anything is.
    """
    if len(batch) == 1 and not oids and not adapters:
        group = _few_scalars(batch[0])
        if group is not None:
            return [group]
    grouping = _Grouping()
    for number, values in enumerate(batch):
        types, formats, cells = [], [], []
        try:
            if len(values) > MOST_PARAMETERS:
                raise ParameterError(
                    f"{len(values):,} parameters cannot be sent: "
                    f"PostgreSQL takes no more than {MOST_PARAMETERS:,}"
                )
            for value in values:
                encoder = None if adapters else _fast(type(value))
                oid, form, data = encoder(value) if encoder else _slowly(value, adapters)
                types.append(oid)
                formats.append(form)
                cells.append(data)
        except (Refused, UnicodeEncodeError) as error:
            where = f" in row {number + 1} of the batch" if len(batch) > 1 else ""
            index = len(cells)
            name = labels[index] if index < len(labels) else f"parameter {index + 1}"
            raise _error(name + where, error) from error
        if oids:
            _override(types, formats, cells, oids)
        grouping.add(values, types, (tuple(formats) if BINARY_FORMAT in formats else None, cells))
    return grouping.groups


class _Grouping:
    """Puts each row into the last group, or begins another one."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self._free: list[int] = []  # of each place in the last group, the least of its rows

    def add(self, values: Sequence[object], types: list[int], row: Row) -> None:
        """Add a row whose values have these types."""
        key = tuple(types)
        if self.groups and key == self.groups[-1].oids and not any(self._free):
            self.groups[-1].rows.append(row)
            return
        free = [_free(value, data) for value, data in zip(values, row[1], strict=True)]
        merged = _merged(self.groups[-1].oids, self._free, key, free) if self.groups else None
        if merged is None:
            self.groups.append(Group(key, [row]))
            self._free = free
            return
        rows = self.groups[-1].rows
        rows.append(row)
        self.groups[-1] = Group(merged, rows)
        self._free = list(map(min, self._free, free))


def _few_scalars(values: Sequence[object]) -> Group | None:
    """Return the usual statement's parameters, or None where anything is out of the ordinary."""
    if len(values) > MOST_PARAMETERS:
        return None
    oids: list[int] = []
    formats: list[int] = []
    cells: list[bytes | None] = []
    try:
        for value in values:
            oid, form, data = _FAST[type(value)](value)
            oids.append(oid)
            formats.append(form)
            cells.append(data)
    except (KeyError, Refused, UnicodeEncodeError):
        return None
    return Group(tuple(oids), [(tuple(formats) if BINARY_FORMAT in formats else None, cells)])


def _slowly(value: object, adapters: Adapters | None) -> Parameter:
    """Return any value as a parameter. Raises Refused or UnicodeEncodeError, and no other."""
    if value is None:
        return _none(value)
    try:
        oid, text = text_of(value, adapters)
        return oid, TEXT_FORMAT, text.encode()
    except (Refused, UnicodeEncodeError):
        raise
    except Exception as error:  # a value's own methods and the adapters raise what they like
        raise Refused(f"{type(error).__name__}: {error}") from error


def _error(name: str, error: Exception) -> ParameterError:
    reason = str(error)
    if isinstance(error, UnicodeEncodeError):
        reason = "it holds a lone surrogate, which UTF-8 has no bytes for"
    return ParameterError(f"{name} cannot be sent: {reason}")


def _override(
    types: list[int], formats: list[int], cells: list[bytes | None], oids: Sequence[int]
) -> None:
    for index, oid in enumerate(oids[: len(types)]):
        if oid <= 0 or oid == types[index]:
            continue
        types[index] = oid
        data = cells[index]
        if formats[index] == BINARY_FORMAT and data is not None:  # a bytea's, no other type's
            formats[index] = TEXT_FORMAT
            cells[index] = b"\\x" + data.hex().encode()


_NO_OTHER, _ANY_ARRAY, _ANY = range(3)
_EMPTY = EMPTY_ARRAY.encode()
_ARRAYS = frozenset(ARRAY_OF.values())
_WIDER = {
    (scalar.INT4, scalar.INT8): scalar.INT8,
    (scalar.INT8, scalar.INT4): scalar.INT8,
    (1007, 1016): 1016,  # int4[] and int8[]
    (1016, 1007): 1016,
}


def _free(value: object, data: bytes | None) -> int:
    """Return which other types a cell could have as well and mean the same."""
    if data is None:
        return _ANY
    return _ANY_ARRAY if data == _EMPTY and not isinstance(value, str) else _NO_OTHER


def _merged(
    ours: tuple[int, ...], we_are: Sequence[int], types: Sequence[int], they_are: Sequence[int]
) -> tuple[int, ...] | None:
    """Return the types that both can have, or None."""
    if len(ours) != len(types):
        return None
    merged: list[int] = []
    for a, a_free, b, b_free in zip(ours, we_are, types, they_are, strict=True):
        if a == b:
            merged.append(a)
        elif (a, b) in _WIDER:
            merged.append(_WIDER[a, b])
        elif b_free == _ANY or (b_free == _ANY_ARRAY and a in _ARRAYS):
            merged.append(a)
        elif a_free == _ANY or (a_free == _ANY_ARRAY and b in _ARRAYS):
            merged.append(b)
        else:
            return None
    return tuple(merged)
