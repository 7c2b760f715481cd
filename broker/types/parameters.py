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
    return _encoded(value, adapters, "a parameter")


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
    groups: list[Group] = []
    free_in_group: list[int] = []
    for number, values in enumerate(batch):
        if len(values) > MOST_PARAMETERS:
            raise ParameterError(
                f"{len(values):,} parameters cannot be sent: "
                f"PostgreSQL takes no more than {MOST_PARAMETERS:,}"
            )
        types: list[int] = []
        formats: list[int] = []
        cells: list[bytes | None] = []
        try:
            for value in values:
                encoder = None if adapters else _fast(type(value))
                if encoder is None:
                    oid, form, data = _encoded(value, adapters, "")
                else:
                    oid, form, data = encoder(value)
                types.append(oid)
                formats.append(form)
                cells.append(data)
        except (Refused, UnicodeEncodeError, ParameterError) as error:
            where = f" in row {number + 1} of the batch" if len(batch) > 1 else ""
            name = _label(labels, len(cells))
            raise ParameterError(f"{name}{where} cannot be sent: {_reason(error)}") from error
        if oids:
            _override(types, formats, cells, oids)
        row: Row = (tuple(formats) if BINARY_FORMAT in formats else None, cells)
        if len(batch) == 1:
            return [Group(tuple(types), [row])]
        free = [_free(value, data) for value, data in zip(values, cells, strict=True)]
        merged = _merged(groups[-1].oids, free_in_group, types, free) if groups else None
        if merged is None:
            groups.append(Group(tuple(types), [row]))
            free_in_group = free
        else:
            groups[-1].rows.append(row)
            groups[-1] = Group(merged, groups[-1].rows)
            free_in_group = list(map(min, free_in_group, free))
    return groups


def _few_scalars(values: Sequence[object]) -> Group | None:
    """Return the usual statement's parameters, or None where anything is out of the ordinary."""
    if not values:
        return Group((), [(None, [])])
    try:
        encoded = [_FAST[type(value)](value) for value in values]
    except (KeyError, Refused, UnicodeEncodeError):
        return None
    if len(encoded) > MOST_PARAMETERS:
        return None
    oids, formats, cells = zip(*encoded, strict=True)
    return Group(oids, [(formats if BINARY_FORMAT in formats else None, list(cells))])


def _encoded(value: object, adapters: Adapters | None, label: str) -> Parameter:
    try:
        if not adapters or value is None:
            encoder = _fast(type(value))
            if encoder is not None:
                return encoder(value)
        oid, text = text_of(value, adapters)
        return oid, TEXT_FORMAT, text.encode()
    except Exception as error:  # a value's own methods and the adapters raise what they like
        reason = _reason(error)
        raise ParameterError(f"{label} cannot be sent: {reason}" if label else reason) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it holds a lone surrogate, which UTF-8 has no bytes for"
    if isinstance(error, Refused | ParameterError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _label(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else f"parameter {index + 1}"


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
