"""RowDescription and DataRow messages (PostgreSQL manual, 54.7 Message Formats). Pure.

The cells of a result are gathered as slices of the receive buffer, one list for each column. Each
column is then decoded in one go: the interpreter runs a few bytecodes a cell and C does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from broker.errors import ProtocolError
from broker.types import column

Cell = bytes | None
Column = list[Cell]
Decoder = Callable[[bytes], Any]

_HEADER = Struct("!cihi").unpack_from  # type, length, number of columns, first cell's length
_HEADER_BYTES = 11
_LENGTH = Struct("!i").unpack_from
_COUNT = Struct("!h").unpack_from
_FIELD = Struct("!ihihih").unpack_from
_FIELD_BYTES = 18


class Field(NamedTuple):
    """One column of a result, as RowDescription has it; the names are pg8000's."""

    name: str
    table_oid: int
    column_attrnum: int
    type_oid: int
    type_size: int
    type_modifier: int
    format: int
    """0 for text, 1 for binary."""


class Description(NamedTuple):
    """The columns of a result."""

    fields: tuple[Field, ...]
    names: tuple[str, ...]
    types: tuple[int, ...]
    """Each column's type, and then each one's format."""


NO_COLUMNS = Description((), (), ())


def describe(body: bytes) -> Description:
    """Return the columns that a RowDescription names. Raises ProtocolError where it is broken."""
    try:
        (count,) = _COUNT(body, 0)
        position, fields = 2, []
        for _ in range(count):
            end = body.index(b"\0", position)
            name = body[position:end].decode("utf-8", "replace")
            fields.append(Field(name, *_FIELD(body, end + 1)))
            position = end + 1 + _FIELD_BYTES
    except (StructError, ValueError) as error:
        raise ProtocolError("a RowDescription ends in the middle of a column") from error
    if position != len(body) or count < 0:
        raise ProtocolError(f"a RowDescription of {count} columns has {len(body)} bytes")
    names = tuple(field.name for field in fields)
    types = [field.type_oid for field in fields] + [field.format for field in fields]
    return Description(tuple(fields), names, tuple(types))


def cells(body: bytes) -> list[Cell]:
    """Return the cells of one DataRow. Raises ProtocolError where it is broken."""
    try:
        (count,) = _COUNT(body, 0)
        position, found = 2, []
        for _ in range(count):
            (length,) = _LENGTH(body, position)
            position += 4
            found.append(body[position : position + length] if length >= 0 else None)
            position += max(length, 0)
    except StructError as error:
        raise ProtocolError("a DataRow ends in the middle of a column") from error
    if position != len(body):
        raise ProtocolError(f"a DataRow of {count} columns has {len(body)} bytes")
    return found


def gather(buffer: bytes, position: int, columns: Sequence[Column]) -> int:
    """Append the cells of the complete DataRows that begin at `position`; return where they end.

    Stops at the first message that is incomplete or no DataRow. Raises ProtocolError for a row
    that does not have exactly these columns.
    """
    size_of_buffer = len(buffer)
    last_header = size_of_buffer - _HEADER_BYTES
    first, rest, count = columns[0].append, [c.append for c in columns[1:]], len(columns)
    try:
        while position <= last_header:
            code, size, given, length = _HEADER(buffer, position)
            end = position + 1 + size
            if code != b"D" or end > size_of_buffer:
                break
            cell = position + _HEADER_BYTES
            position = cell + length if length >= 0 else cell
            first(buffer[cell:position] if length >= 0 else None)
            for append in rest:
                (length,) = _LENGTH(buffer, position)
                cell = position + 4
                position = cell + length if length >= 0 else cell
                append(buffer[cell:position] if length >= 0 else None)
            if position != end or given != count:
                raise ProtocolError(f"a DataRow of {given} columns where {count} were announced")
    except StructError as error:
        raise ProtocolError("a DataRow ends in the middle of a column") from error
    return position


def decode(columns: Sequence[Column], decoders: Sequence[Decoder]) -> list[list[Any]]:
    """Return the gathered columns as a list of rows, each a list, its cells decoded."""
    if len(columns[0]) == 1:
        return [
            [
                None if cell is None else decoder(cell)
                for (cell,), decoder in zip(columns, decoders, strict=True)
            ]
        ]
    decoded = [
        column.decoded(decoder, cells) for cells, decoder in zip(columns, decoders, strict=True)
    ]
    return list(map(list, zip(*decoded, strict=True)))
