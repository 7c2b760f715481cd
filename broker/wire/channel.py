"""Bytes to and from one server: one buffer, and no wait that outlives the deadline."""

from __future__ import annotations

import math
import selectors
import socket
from ssl import SSLWantReadError, SSLWantWriteError

from broker.deadline import Deadline
from broker.errors import ConnectionLost, DeadlineExceeded, ResultTooLarge

BYTES_PER_MB = 1 << 20  # as Lambda counts a function's memory
RECEIVE_BYTES = 65536
MAX_RECEIVE_BYTES = 1 << 20  # asked for at once: what a message announces need not be true
SEND_AT_ONCE_BYTES = 16384  # fits Linux's default send buffer (tcp_wmem), so it never blocks

_WOULD_BLOCK = (BlockingIOError, InterruptedError, SSLWantReadError, SSLWantWriteError)


class Channel:
    """A connected socket, as the receive loop and pg8000 want it.

    Every method raises ConnectionLost when the peer is gone, DeadlineExceeded when `deadline`
    passes, and ResultTooLarge when more comes than there is `room` for; after any of them, the
    channel is of no more use but to be closed.
    """

    def __init__(
        self, sock: socket.socket, deadline: Deadline, max_answer_bytes: float = math.inf
    ) -> None:
        self.socket = sock
        self.max_answer_bytes = max_answer_bytes
        self.room = max_answer_bytes
        """Bytes that may still come. The receive loop sets it for each flight."""
        self.buffer = b""
        self.position = 0
        self.settled = False
        """Whether all that was sent has been answered. The receive loop sets it."""
        self._deadline = deadline
        self._timed = False  # the socket's time limit is what is left from now
        self._outgoing: list[bytes] = []

    def bound(self, deadline: Deadline) -> None:
        """Let no flight from here on outlive `deadline`."""
        self._deadline = deadline

    def _late(self) -> DeadlineExceeded:
        deadline = self._deadline
        return DeadlineExceeded.at("statement", deadline.budget_s(), deadline.took_s())

    def _set_timeout(self) -> None:
        remaining_s = self._deadline.remaining_s()
        if remaining_s <= 0:
            raise self._late()
        self.socket.settimeout(None if remaining_s == math.inf else remaining_s)
        self._timed = True

    def send(self, data: bytes) -> None:
        """Send all of it. The server may answer meanwhile: the answers are kept, so that neither
        side ever waits for the other to read.

        ConnectionLost from here says that nothing ran: the flight's Sync, which comes last and
        commits, did not leave.
        """
        try:
            self._set_timeout()
            self.settled = False
            if len(data) <= SEND_AT_ONCE_BYTES:
                self.socket.sendall(data)
            else:
                self._send_and_receive(data)
        except TimeoutError as error:
            raise self._late() from error
        except (OSError, ValueError) as error:  # ValueError: another thread closed the socket
            raise ConnectionLost(
                f"the session ended before the statement was sent: {error}", may_have_run=False
            ) from error

    def _make_room(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            limit_mb = self.max_answer_bytes / BYTES_PER_MB
            raise ResultTooLarge(f"over {limit_mb:g} MB came. {ResultTooLarge().args[0]}")

    def _send_and_receive(self, data: bytes) -> None:
        received = [self.buffer[self.position :]]
        try:
            self._exchange(memoryview(data), received)
        finally:  # the server's last words, too, are among what came
            self.buffer, self.position = b"".join(received), 0
        self._set_timeout()

    def _exchange(self, view: memoryview, received: list[bytes]) -> None:
        """Send all of it, and take in what comes meanwhile."""
        self.socket.settimeout(0)
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while view:
                remaining_s = self._deadline.remaining_s()
                if remaining_s <= 0:
                    raise self._late()
                events = selector.select(None if remaining_s == math.inf else remaining_s)
                ready = events[0][1] if events else 0
                if ready & selectors.EVENT_READ:
                    received.append(self._receive_now())
                if ready & selectors.EVENT_WRITE:
                    view = view[self._send_now(view[:RECEIVE_BYTES]) :]

    def _send_now(self, view: memoryview) -> int:
        try:
            return self.socket.send(view)
        except _WOULD_BLOCK:
            return 0

    def _receive_now(self) -> bytes:
        """Return what has come; b"" where TLS needs more to decrypt it."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except _WOULD_BLOCK:
            return b""
        if not data:
            raise ConnectionLost(
                "the server closed the session before the statement was sent", may_have_run=False
            )
        self._make_room(len(data))
        return data

    def fill(self, need: int = 1) -> None:
        """Receive `need` more bytes at the least, and move what is unread to the buffer's start."""
        chunks = [self.buffer[self.position :]] if self.position < len(self.buffer) else []
        while need > 0:
            chunk = self._receive(need)
            chunks.append(chunk)
            need -= len(chunk)
        self.buffer = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.position = 0

    def _receive(self, need: int) -> bytes:
        try:
            if not self._timed:  # this wait gets what is left, not the whole time again
                self._set_timeout()
            self._timed = False
            data = self.socket.recv(min(max(need, RECEIVE_BYTES), MAX_RECEIVE_BYTES))
        except TimeoutError as error:
            raise self._late() from error
        except OSError as error:
            raise ConnectionLost(f"the session ended: {error}") from error
        if not data:
            raise ConnectionLost("the server closed the session")
        self._make_room(len(data))
        return data

    def look(self) -> bool:
        """Take in what has already come, without waiting; tell whether the peer is still there."""
        try:
            self.socket.settimeout(0)
            while data := self.socket.recv(RECEIVE_BYTES):
                self.buffer = self.buffer[self.position :] + data
                self.position = 0
                if len(self.buffer) > MAX_RECEIVE_BYTES:  # nobody says so much unasked
                    return False
        except _WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False

    def hang_up(self, last_word: bytes, within_s: float) -> bool:
        """Say the last word, then drop what comes; tell whether the peer hung up in time."""
        bounded = self._deadline.anew(within_s)
        try:
            while True:  # what has come already: after an end that was seen, nothing is sent
                self.socket.settimeout(0)
                if not self.socket.recv(RECEIVE_BYTES):
                    return True
        except _WOULD_BLOCK:
            pass
        except (OSError, ValueError):
            return False
        try:
            self.socket.settimeout(max(within_s, 0.001))
            self.socket.sendall(last_word)
            while (left_s := bounded.remaining_s()) > 0:
                self.socket.settimeout(left_s)
                if not self.socket.recv(RECEIVE_BYTES):
                    return True
        except (OSError, ValueError):
            return False
        return False

    # The face of the file object that pg8000 makes of its socket.

    def makefile(self, mode: str) -> Channel:  # noqa: ARG002  pg8000 asks for "rwb"
        """Return the channel itself: it buffers already."""
        return self

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        missing = self.position + size - len(self.buffer)
        if missing > 0:
            self.fill(missing)
        start = self.position
        self.position += size
        return self.buffer[start : self.position]

    def write(self, data: bytes) -> None:
        """Keep it for the next flush."""
        self._outgoing.append(bytes(data))

    def flush(self) -> None:
        """Send what was written."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self.send(data)

    def close(self) -> None:
        """Close the socket; the server sees the end of it."""
        self.socket.close()
