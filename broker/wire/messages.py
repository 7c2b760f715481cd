"""Frontend messages as bytes (PostgreSQL manual, 54.7 Message Formats). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct

_LENGTH = Struct("!i").pack
_COUNT = Struct("!H").pack
_NULL = _LENGTH(-1)

SYNC = b"S\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
DESCRIBE_PORTAL = b"D\0\0\0\x06P\0"
EXECUTE = b"E\0\0\0\x09\0\0\0\0\0"
BIND_NOTHING = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"
COPY_DONE = b"c\0\0\0\x04"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_CANCEL_REQUEST = b"\0\0\0\x10\x04\xd2\x16\x2e"  # 16 bytes with the key
_PROTOCOL_3_0 = b"\0\x03\0\0"
ALL_TEXT = b"\0\0"


def parse(text: bytes, oids: tuple[int, ...] = (), name: bytes = b"") -> bytes:
    """Return Parse; the server infers the types that `oids` leaves out or gives as 0."""
    types = _packed.get(oids) or _pack(oids)
    size = len(text) + len(types) + len(name) + 6
    return b"P%b%b\0%b\0%b" % (_LENGTH(size), name, text, types)


_packed: dict[tuple[int, ...], bytes] = {}
_PACKED_KEPT, _LONGEST_KEPT = 512, 64  # lists of types, and types in one of them


def _pack(oids: tuple[int, ...]) -> bytes:
    types = _COUNT(len(oids)) + b"".join(map(_LENGTH, oids))
    if len(oids) <= _LONGEST_KEPT:
        if len(_packed) >= _PACKED_KEPT:
            _packed.clear()
        _packed[oids] = types
    return types


def bind(
    cells: Sequence[bytes | None],
    formats: Sequence[int] | None = None,
    name: bytes = b"",
    results: bytes = ALL_TEXT,
) -> bytes:
    """Return Bind of the unnamed portal to a statement.

    `formats` has one format code a cell, 0 for text and 1 for binary; None is text for all of
    them. `results` is the list of result formats as `format_codes` packs it.
    """
    parts = [_NULL if cell is None else _LENGTH(len(cell)) + cell for cell in cells]
    codes = ALL_TEXT if formats is None else format_codes(formats)
    body = b"\0%b\0%b%b%b%b" % (name, codes, _COUNT(len(cells)), b"".join(parts), results)
    return b"B%b%b" % (_LENGTH(len(body) + 4), body)


def format_codes(formats: Sequence[int]) -> bytes:
    """Return a list of format codes as Bind has it."""
    return _COUNT(len(formats)) + b"".join(map(_COUNT, formats))


def execute_undescribed(text: bytes) -> bytes:
    """Return Parse, Bind and Execute of a statement without parameters."""
    return parse(text) + BIND_NOTHING + EXECUTE


def execute_described(text: bytes) -> bytes:
    """Return Parse, Bind, Describe and Execute of a statement without parameters."""
    return parse(text) + BIND_NOTHING + DESCRIBE_PORTAL + EXECUTE


def describe_statement(name: bytes) -> bytes:
    """Return Describe of a prepared statement: its parameters' types and its columns."""
    return b"D%bS%b\0" % (_LENGTH(len(name) + 6), name)


def close_statement(name: bytes) -> bytes:
    """Return Close of a prepared statement."""
    return b"C%bS%b\0" % (_LENGTH(len(name) + 6), name)


def query(text: bytes) -> bytes:
    """Return Query, the one message of the simple protocol."""
    return b"Q%b%b\0" % (_LENGTH(len(text) + 5), text)


def copy_data(data: bytes) -> bytes:
    """Return CopyData."""
    return b"d%b%b" % (_LENGTH(len(data) + 4), data)


def copy_fail(reason: bytes) -> bytes:
    """Return CopyFail: the server then fails the COPY with this reason."""
    return b"f%b%b\0" % (_LENGTH(len(reason) + 5), reason)


def password(data: bytes) -> bytes:
    """Return a password or SASL message."""
    return b"p%b%b" % (_LENGTH(len(data) + 4), data)


def startup(parameters: Mapping[str, str]) -> bytes:
    """Return StartupMessage; values are sent in UTF-8."""
    pairs = b"".join(b"%b\0%b\0" % (k.encode(), v.encode()) for k, v in parameters.items())
    body = _PROTOCOL_3_0 + pairs + b"\0"
    return _LENGTH(len(body) + 4) + body


def cancel_request(key: bytes) -> bytes:
    """Return CancelRequest for the session with this process id and secret."""
    return _CANCEL_REQUEST + key
