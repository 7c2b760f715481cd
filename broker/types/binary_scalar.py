"""Scalars from PostgreSQL's binary format (each type's _send function). Malformed: ValueError."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any

from broker.types import moment, numeric, text_scalar
from broker.types.interval import Interval, as_value

Decoder = Callable[[bytes], Any]

_INTERVAL = Struct("!qii").unpack
_FOREVER = {
    (2**63 - 1, 2**31 - 1, 2**31 - 1): "infinity",
    (-(2**63), -(2**31), -(2**31)): "-infinity",
}
_IPV4, _IPV6 = 2, 3  # PGSQL_AF_INET and the one after it
_LENGTH = {_IPV4: 4, _IPV6: 16}


class _Bytes(dict[bytes, bool]):
    def __missing__(self, cell: bytes) -> bool:
        raise ValueError(f"a bool is one byte, 0 or 1, not {cell[:20]!r}")


def _number(form: str) -> Decoder:
    unpack = Struct(form).unpack

    def read(cell: bytes) -> Any:
        try:
            return unpack(cell)[0]
        except StructError as error:
            raise ValueError(f"a number of {len(cell)} bytes") from error

    return read


def _interval(cell: bytes) -> Any:
    """Return an interval; the extremes are 17's infinity, and 16's greatest interval alike."""
    try:
        microseconds, days, months = _INTERVAL(cell)
    except StructError as error:
        raise ValueError(f"an interval of {len(cell)} bytes") from error
    forever = _FOREVER.get((microseconds, days, months))
    return forever or as_value(Interval(months, days, microseconds))


def _jsonb() -> Decoder:
    read = text_scalar.decoder(3802)

    def unversioned(cell: bytes) -> Any:
        if cell[:1] != b"\x01":
            raise ValueError("a jsonb of an unknown version")
        return read(cell[1:])

    return unversioned


def _uuid() -> Decoder:
    from uuid import UUID  # weight

    return lambda cell: UUID(bytes=cell)


def _network() -> Decoder:
    from ipaddress import ip_address, ip_interface, ip_network  # weight

    def read(cell: bytes) -> Any:
        family, bits, is_cidr, length = cell[:4] if len(cell) >= 4 else (0, 0, 0, 0)
        packed = cell[4:]
        if _LENGTH.get(family, -1) != length or len(packed) != length or bits > 8 * length:
            raise ValueError(f"an address of {len(cell)} bytes is malformed")
        if is_cidr:
            return ip_network((packed, bits))
        return ip_address(packed) if bits == 8 * length else ip_interface((packed, bits))

    return read


def _mac(length: int) -> Decoder:
    def read(cell: bytes) -> str:
        if len(cell) != length:
            raise ValueError(f"a MAC address of {len(cell)} bytes")
        return cell.hex(":")

    return read


def _bits(cell: bytes) -> str:
    length, packed = int.from_bytes(cell[:4], signed=True), cell[4:]
    if len(cell) < 4 or length < 0 or len(packed) != (length + 7) // 8:
        raise ValueError(f"a bit string of {len(cell)} bytes is malformed")
    return "".join([f"{byte:08b}" for byte in packed])[:length]


_READY: dict[int, Decoder] = {
    16: _Bytes({b"\x01": True, b"\x00": False}).__getitem__,
    17: bytes,
    20: _number("!q"),
    21: _number("!h"),
    23: _number("!i"),
    26: _number("!I"),
    700: _number("!f"),
    701: _number("!d"),
    829: _mac(6),
    774: _mac(8),
    1082: moment.date_binary,
    1083: moment.time_binary,
    1114: moment.timestamp_binary,
    1184: moment.timestamptz_binary,
    1186: _interval,
    1266: moment.timetz_binary,
    1560: _bits,
    1562: _bits,
    1700: numeric.read,
    **dict.fromkeys((18, 19, 25, 142, 705, 1042, 1043, 2275), bytes.decode),
}
_LATER: dict[int, Callable[[], Decoder]] = {
    114: lambda: text_scalar.decoder(114),
    650: _network,
    869: _network,
    2950: _uuid,
    3802: _jsonb,
}


def decoder(oid: int) -> Decoder | None:
    """Return what reads this type's binary form, or None for a type without a rule."""
    ready = _READY.get(oid)
    if ready is not None:
        return ready
    later = _LATER.get(oid)
    if later is None:
        return None
    _READY[oid] = made = later()
    return made
