"""The admin console over a process' own socket: a command, and whether it is answered in time.

PgBouncer lets its own account in as the user `pgbouncer` there, with no password. The console
speaks the simple protocol.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

VERSION_3 = 196_608
READY = b"Z"
ERROR = b"E"


class NoAnswer(Exception):
    """The process did not answer as it should; the message says how."""


def tell(path: Path, command: str, until_s: float) -> None:
    """Log in and give a command; NoAnswer unless both are answered by then (monotonic time)."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            _limit(sock, until_s)
            sock.connect(str(path))
            names = b"user\0pgbouncer\0database\0pgbouncer\0\0"
            sock.sendall(struct.pack("!ii", 8 + len(names), VERSION_3) + names)
            _until_ready(sock, until_s)
            text = command.encode() + b"\0"
            sock.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
            _until_ready(sock, until_s)
    except TimeoutError:
        raise NoAnswer("does not answer") from None
    except OSError as error:
        raise NoAnswer(error.strerror or type(error).__name__) from None


def _limit(sock: socket.socket, until_s: float) -> None:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    sock.settimeout(left_s)


def _until_ready(sock: socket.socket, until_s: float) -> None:
    """Read messages up to ReadyForQuery."""
    kind = b""
    while kind != READY:
        kind, length = struct.unpack("!ci", _exactly(sock, 5, until_s))
        body = _exactly(sock, length - 4, until_s)
        if kind == ERROR:
            raise NoAnswer(f"refuses: {_message(body)}")


def _exactly(sock: socket.socket, count: int, until_s: float) -> bytes:
    data = b""
    while len(data) < count:
        _limit(sock, until_s)
        more = sock.recv(count - len(data))
        if not more:
            raise NoAnswer("hangs up")
        data += more
    return data


def _message(body: bytes) -> str:
    fields = body.split(b"\0")
    return next((each[1:].decode(errors="replace") for each in fields if each[:1] == b"M"), "?")
