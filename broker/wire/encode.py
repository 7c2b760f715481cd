"""Frontend messages as bytes (PostgreSQL manual, 54.7 Message Formats). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

_LENGTH = Struct("!i").pack
_COUNT = Struct("!H").pack
_NULL = _LENGTH(-1)
MAX_PARAMETERS = 65535  # Bind counts them in 16 bits

SYNC = b"S\0\0\0\x04"
DESCRIBE_PORTAL = b"D\0\0\0\x06P\0"
EXECUTE = b"E\0\0\0\x09\0\0\0\0\0"
BIND_NOTHING = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"


def parse(text: bytes, oids: bytes = b"\0\0") -> bytes:
    """Return Parse of the unnamed statement; the server infers types that `oids` leaves out."""
    return b"P%b\0%b\0%b" % (_LENGTH(len(text) + 6 + len(oids)), text, oids)


def parameter_types(oids: Iterable[int]) -> bytes:
    """Return Parse's list of parameter types; -1 and 0 leave one to the server."""
    packed = [_LENGTH(max(oid, 0)) for oid in oids]
    return _COUNT(len(packed)) + b"".join(packed)


def bind(values: Sequence[str | None], encoding: str = "utf-8") -> bytes:
    """Return Bind of the unnamed portal to the unnamed statement, all in text format."""
    if len(values) > MAX_PARAMETERS:
        raise ValueError(f"{len(values)} parameters, and a statement takes {MAX_PARAMETERS}")
    parts = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = value.encode(encoding)
            parts += (_LENGTH(len(data)), data)
    body = b"".join(parts)
    return b"B%b\0\0\0\0%b%b\0\0" % (_LENGTH(len(body) + 12), _COUNT(len(values)), body)


def unaccompanied(text: bytes) -> bytes:
    """Return Parse, Bind and Execute of a statement without parameters, its rows undescribed."""
    return parse(text) + BIND_NOTHING + EXECUTE


def accompanied(text: bytes) -> bytes:
    """Return the same, with its rows described."""
    return parse(text) + BIND_NOTHING + DESCRIBE_PORTAL + EXECUTE


def copy_fail(reason: bytes) -> bytes:
    """Return CopyFail: the server then fails the COPY with this reason."""
    return b"f%b%b\0" % (_LENGTH(len(reason) + 5), reason)


def query(text: bytes) -> bytes:
    """Return Query, the simple protocol's one message."""
    return b"Q%b%b\0" % (_LENGTH(len(text) + 5), text)
