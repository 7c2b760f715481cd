"""Which function reads a column's cells: by its type, its format and the converters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from broker.types import binary_scalar, text_scalar
from broker.types.catalog import BUILTIN, TypeInfo
from broker.types.converters import ConverterFailed, Converters, ResultConverter

Decoder = Callable[[bytes], Any]
Catalog = Mapping[int, TypeInfo]

RECORD, RECORDS = 2249, 2287  # anonymous: the server tells no field's type
_DEEPEST = 50  # types made of types; a catalog that leads back to itself ends here
_BINARY = frozenset({17, 701, 1082, 1083, 1114, 2950})
"""What is asked for in binary.

bytea is half as long; float8, date, time and timestamp mean the same under every setting of the
session; uuid is shorter. float4's text has the digits that it means, timestamptz's its offset, and
before PostgreSQL 17 an interval is finite that is infinite since then, in the same bytes. The
others are as exact in text, and quicker to read.
"""
_BEGINS = b"{[("


def decoder(
    oid: int, format: int, catalog: Catalog, converters: Converters | None = None
) -> Decoder:
    """Return the function that makes Python's value of a cell that is not NULL.

    `format` is 0 for text, which is UTF-8, and 1 for binary. The function raises ValueError for
    malformed bytes, and ConverterFailed where a converter raises. A type that is neither built in
    nor in the catalog comes back as its text; one that has no rule in binary, as its bytes.
    """
    return _text(oid, catalog, converters, 0) if format == 0 else _binary(oid, catalog, 0)


def wants_binary(oid: int, catalog: Catalog, converters: Converters | None = None) -> bool:
    """Whether to ask for this type in binary: only where that reads as the very same value."""
    return _is_binary(oid, catalog, converters, 0)


def needs_catalog(oid: int, cells: Iterable[bytes | None], by_name: bool = False) -> bool:
    """Whether a column of this type, of which nothing is known, can be more than its text.

    An array, range, multirange or composite begins with its bracket or is empty. `by_name` says
    that converters are registered under names, one of which could be this type's.
    """
    if oid in BUILTIN:
        return False
    return by_name or any(cell[:1] in _BEGINS or cell == b"empty" for cell in cells if cell)


def _info(oid: int, catalog: Catalog) -> TypeInfo | None:
    return BUILTIN.get(oid) or catalog.get(oid)


def _converter(
    oid: int, info: TypeInfo | None, catalog: Catalog, converters: Converters
) -> ResultConverter | None:
    """Return the function for the type's oid, or for one of its names, the qualified one first."""
    found = converters.by_oid.get(oid)
    if found is not None or info is None or not converters.by_name:
        return found
    names = [f"{info.schema}.{info.name}", info.name]
    if info.kind == "array":
        element = _info(info.parts[0], catalog)
        if element is not None:
            names += [f"{element.schema}.{element.name}[]", f"{element.name}[]"]
    return next((converters.by_name[name] for name in names if name in converters.by_name), None)


def _converted(function: ResultConverter, cell: bytes) -> Any:
    text = cell.decode()
    try:
        return function(text)
    except Exception as error:
        raise ConverterFailed(error) from error


def _text(oid: int, catalog: Catalog, converters: Converters | None, depth: int) -> Decoder:
    info = _info(oid, catalog)
    if converters is not None:
        function = _converter(oid, info, catalog, converters)
        if function is not None:
            return partial(_converted, function)
    if info is None:
        return bytes.decode
    if info.kind == "base" and oid != RECORD:
        return text_scalar.decoder(oid)
    return _structured_text(info, catalog, converters, depth)


def _structured_text(
    info: TypeInfo, catalog: Catalog, converters: Converters | None, depth: int
) -> Decoder:
    from broker.types import array_literal, literal  # weight: their expressions

    if info.oid == RECORD:
        return literal.record
    if depth > _DEEPEST:
        raise ValueError(f"type {info.name} is made of too many types, or of itself")
    if info.kind == "enum":
        return bytes.decode
    if info.kind == "composite":
        parts = tuple(_text(part, catalog, converters, depth + 1) for part in info.parts)
        return partial(literal.composite, parts)
    if info.kind == "multirange":
        bounds = _info(info.parts[0], catalog)
        if bounds is None:
            return bytes.decode
        bound = _text(bounds.parts[0], catalog, converters, depth + 1)
        return partial(literal.multirange_of, bound)
    part = _text(info.parts[0], catalog, converters, depth + 1)
    if info.kind == "array":
        return partial(array_literal.array, info.delimiter.encode(), part)
    return part if info.kind == "domain" else partial(literal.range_of, part)


def _binary(oid: int, catalog: Catalog, depth: int) -> Decoder:
    info = _info(oid, catalog)
    if depth > _DEEPEST:
        raise ValueError("a type is made of too many types, or of itself")
    if info is None or info.kind == "composite":
        return bytes
    if info.kind == "enum":
        return bytes.decode
    if info.kind == "base":
        return binary_scalar.decoder(oid) or bytes
    from broker.types import packed  # weight

    if info.kind == "multirange":
        bounds = _info(info.parts[0], catalog)
        if bounds is None:
            return bytes
        return partial(packed.multirange_of, _binary(bounds.parts[0], catalog, depth + 1))
    part = _binary(info.parts[0], catalog, depth + 1)
    if info.kind == "domain":
        return part
    return partial(packed.array if info.kind == "array" else packed.range_of, part)


def _is_binary(oid: int, catalog: Catalog, converters: Converters | None, depth: int) -> bool:
    info = _info(oid, catalog)
    if info is None or depth > _DEEPEST:
        return False
    if converters is not None and _converter(oid, info, catalog, converters) is not None:
        return False
    if info.kind in ("array", "domain", "range", "multirange"):
        return _is_binary(info.parts[0], catalog, converters, depth + 1)
    return oid in _BINARY
