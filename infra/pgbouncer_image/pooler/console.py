"""The admin console over a process' own socket: commands, answered in time or not.

PgBouncer lets its own account in as the user `pgbouncer` there, with no password. The console
speaks the simple protocol.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION_3 = 196_608
READY = b"Z"
ERROR = b"E"
COLUMNS = b"T"
ROW = b"D"
AFTER_A_NAME = 18  # table, column, type, its size, its modifier and its format
NULL = -1

Row = dict[str, str]
"""A row of SHOW by column; an empty text where there is no value."""


class NoAnswer(Exception):
    """The process did not answer as it should; the message says how."""


def tell(path: Path, command: str, until_s: float) -> None:
    """Log in and give a command; NoAnswer unless both are answered by then (monotonic time)."""
    with connected(path, until_s) as console:
        console.ask(command)


@contextmanager
def connected(path: Path, until_s: float) -> Iterator[Console]:
    """Log in; everything until the end must be answered by then (monotonic time), or NoAnswer."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            console = Console(sock, until_s)
            console.log_in(path)
            yield console
    except TimeoutError:
        raise NoAnswer("does not answer") from None
    except OSError as error:
        raise NoAnswer(error.strerror or type(error).__name__) from None


class Console:
    """A process' console; made by `connected`."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock = sock
        self._until_s = until_s

    def log_in(self, path: Path) -> None:
        """Connect and log in as PgBouncer's own account."""
        self._limit()
        self._sock.connect(str(path))
        names = b"user\0pgbouncer\0database\0pgbouncer\0\0"
        self._sock.sendall(struct.pack("!ii", 8 + len(names), VERSION_3) + names)
        self._until_ready()

    def ask(self, command: str) -> list[Row]:
        """Give a command and return the rows that it shows."""
        text = command.encode() + b"\0"
        self._sock.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
        return self._until_ready()

    def _until_ready(self) -> list[Row]:
        """Read messages up to ReadyForQuery; the rows among them."""
        names: list[str] = []
        rows: list[Row] = []
        kind = b""
        while kind != READY:
            kind, length = struct.unpack("!ci", self._exactly(5))
            body = self._exactly(length - 4)
            if kind == ERROR:
                raise NoAnswer(f"refuses: {_message(body)}")
            if kind == COLUMNS:
                names = list(_names(body))
            elif kind == ROW:
                rows.append(dict(zip(names, _values(body), strict=True)))
        return rows

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            self._limit()
            more = self._sock.recv(count - len(data))
            if not more:
                raise NoAnswer("hangs up")
            data += more
        return data

    def _limit(self) -> None:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)


def _names(body: bytes) -> Iterator[str]:
    place = 2  # behind their number
    while place < len(body):
        end = body.index(b"\0", place)
        yield body[place:end].decode()
        place = end + 1 + AFTER_A_NAME


def _values(body: bytes) -> Iterator[str]:
    place = 2
    while place < len(body):
        (length,) = struct.unpack_from("!i", body, place)
        place += 4
        yield "" if length == NULL else body[place : place + length].decode()
        place += max(0, length)


def _message(body: bytes) -> str:
    fields = body.split(b"\0")
    return next((each[1:].decode(errors="replace") for each in fields if each[:1] == b"M"), "?")
