"""The server's end of a socket pair: what it will say is written before it is asked."""

from __future__ import annotations

import math
import socket
import threading
from struct import pack, unpack_from
from typing import Any

from broker.deadline import Deadline, Instant
from broker.wire import Session
from broker.wire.channel import Channel
from broker.wire.connect import start_up
from broker.wire.messages import SYNC
from broker.wire.startup import StartUp

TEXT, INT4, INT8, FLOAT8, BOOL, TIMESTAMP = 25, 23, 20, 701, 16, 1114


def message(code: bytes, body: bytes = b"") -> bytes:
    """Return one backend message."""
    return code + pack("!i", len(body) + 4) + body


def ready(status: bytes = b"I") -> bytes:
    """Return ReadyForQuery."""
    return message(b"Z", status)


def described(*columns: tuple[str, int]) -> bytes:
    """Return RowDescription."""
    body = pack("!h", len(columns))
    for name, oid in columns:
        body += name.encode() + b"\0" + pack("!ihihih", 0, 0, oid, -1, -1, 0)
    return message(b"T", body)


def row(*cells: str | bytes | None) -> bytes:
    """Return DataRow."""
    body = pack("!h", len(cells))
    for cell in cells:
        data = cell.encode() if isinstance(cell, str) else cell
        body += pack("!i", -1) if data is None else pack("!i", len(data)) + data
    return message(b"D", body)


def done(tag: str) -> bytes:
    """Return CommandComplete."""
    return message(b"C", tag.encode() + b"\0")


def refused(sqlstate: str, text: str = "no", severity: str = "ERROR", **more: str) -> bytes:
    """Return ErrorResponse."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text, **more}
    body = b"".join(k.encode() + v.encode() + b"\0" for k, v in fields.items()) + b"\0"
    return message(b"E", body)


def noticed(text: str = "by the way") -> bytes:
    """Return NoticeResponse."""
    return message(b"N", f"SNOTICE\0C00000\0M{text}\0\0".encode())


def notified(channel: str = "c", payload: str = "") -> bytes:
    """Return NotificationResponse."""
    return message(b"A", pack("!i", 7) + f"{channel}\0{payload}\0".encode())


PARSED, BOUND, NO_DATA = message(b"1"), message(b"2"), message(b"n")
WELCOME = message(b"R", pack("!i", 0)) + message(b"K", pack("!ii", 1, 2)) + ready()


def ahead(cell: str | None = None) -> bytes:
    """Return the answer to a statement that rides ahead; with a row if it returns one."""
    return PARSED + BOUND + (row(cell, "x") if cell is not None else b"") + done("SELECT 1")


def selected(
    *cells: tuple[str | None, ...], columns: Any = (("n", INT4),), status: bytes = b"I"
) -> bytes:
    """Return the whole answer to one statement that returns these rows."""
    rows = b"".join(row(*each) for each in cells)
    return (
        PARSED + BOUND + described(*columns) + rows + done(f"SELECT {len(cells)}") + ready(status)
    )


def started(channel: Channel, **options: Any) -> Session:
    """Return the session that a client's end becomes, once it is welcome."""
    starting = StartUp({"user": "app", "database": "appdb"}, "s3cret")
    return start_up(channel, starting, Instant(0.0, 0.0), **options)


class Peer:
    """The server's end."""

    def __init__(self) -> None:
        self.client_socket, self.socket = socket.socketpair()
        self.socket.settimeout(5)
        self._heard: list[bytes] = []  # by `answers`
        self._thread: threading.Thread | None = None

    def says(self, *messages: bytes) -> None:
        """Send them now, for the client to read when it asks."""
        self.socket.sendall(b"".join(messages))

    def answers(self, *answers: bytes) -> None:
        """Give one answer after each Sync that ends what was sent, in a thread."""
        self._thread = threading.Thread(target=self._answer, args=(answers,))
        self._thread.start()

    def _answer(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            heard = b""
            while not heard.endswith(SYNC):
                chunk = self.socket.recv(1 << 20)
                if not chunk:
                    return
                heard += chunk
            self._heard.append(heard)
            self.socket.sendall(answer)

    def hangs_up(self) -> None:
        """Close its end."""
        self.socket.close()

    def finishes(self) -> None:
        """Let nothing come after what it said; it still hears what is sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def heard(self) -> bytes:
        """Return what the client has sent so far."""
        if self._thread is not None:
            self._thread.join()
        self.socket.setblocking(False)
        chunks, self._heard = self._heard, []
        try:
            while chunk := self.socket.recv(1 << 20):
                chunks.append(chunk)
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(5)
        return b"".join(chunks)

    def heard_messages(self) -> list[tuple[bytes, bytes]]:
        """Return the frontend messages so far, as type and body; fails on a broken one."""
        return split(self.heard())

    def channel(self, seconds: float = 5, max_answer_bytes: float = math.inf) -> Channel:
        """Return the client's end as a channel."""
        return Channel(self.client_socket, Deadline.after(seconds), max_answer_bytes)

    def session(self, max_answer_bytes: float = math.inf) -> Session:
        """Return a session that has started up."""
        self.says(WELCOME)
        session = started(self.channel(max_answer_bytes=max_answer_bytes))
        self.heard()
        return session

    def close(self) -> None:
        """Close both ends."""
        if self._thread is not None:
            self._thread.join()
        self.socket.close()
        self.client_socket.close()


def split(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return messages as pairs of type and body; fails unless the lengths add up."""
    messages, at = [], 0
    while at < len(data):
        code, size = unpack_from("!ci", data, at)
        end = at + 1 + size
        assert size >= 4
        assert end <= len(data)
        messages.append((code, data[at + 5 : end]))
        at = end
    return messages
