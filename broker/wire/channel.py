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
    """A connected socket whose every wait ends with the deadline.

    Every method raises ConnectionLost when the peer is gone, DeadlineExceeded when `deadline`
    passes, and ResultTooLarge when more comes than there is `room` for; after any of them, the
    channel is of no more use but to be closed.
    """

    def __init__(
        self, sock: socket.socket, deadline: Deadline, max_answer_bytes: float = math.inf
    ) -> None:
        self.socket = sock
        self.max_answer_bytes = max_answer_bytes
        self._room = max_answer_bytes  # bytes that may still come in this round trip
        self._deadline = deadline
        self._timed = False  # the socket's time limit is what is left from now
        self._received: list[bytes] = []  # while something was sent

    def begin(self, deadline: Deadline, *, limited: bool) -> None:
        """Begin a round trip that ends with `deadline`; `limited` is whether its answer is.

        Raises DeadlineExceeded where no time is left, and ConnectionLost where another thread has
        closed the socket: nothing was sent then.
        """
        self._deadline = deadline
        self._room = self.max_answer_bytes if limited else math.inf
        self.arm()

    def _late(self) -> DeadlineExceeded:
        deadline = self._deadline
        return DeadlineExceeded.at("statement", deadline.budget_s(), deadline.took_s())

    def arm(self) -> None:
        """Give the next wait the time that is left; DeadlineExceeded where that is none."""
        try:
            self._arm()
        except (OSError, ValueError) as error:  # another thread closed the socket
            raise ConnectionLost(f"the session ended: {error}", may_have_run=False) from error

    def _arm(self) -> None:
        remaining_s = self._deadline.remaining_s()
        if remaining_s <= 0:
            raise self._late()
        self.socket.settimeout(None if remaining_s == math.inf else remaining_s)
        self._timed = True

    def send(self, data: bytes, *, at_once: bool = True) -> bytes:
        """Send all of it, and return what came meanwhile: the server may answer before it has read
        everything, and neither side may wait for the other to read.

        `at_once`: whether nothing was sent before that the server may not have read yet, so that
        a little finds its place in the system's buffer.

        ConnectionLost from here says that nothing ran: the round trip's Sync, which comes last and
        commits, did not leave. What had come until then, `look` returns.
        """
        try:
            if not self._timed:
                self._arm()
            if at_once and len(data) <= SEND_AT_ONCE_BYTES:
                self.socket.sendall(data)
                return b""
            self._exchange(memoryview(data))
            self._arm()
        except (OSError, ValueError) as error:  # ValueError: another thread closed the socket
            if _is_ours(error):
                raise self._late() from error
            raise ConnectionLost(
                f"the session ended before the statement was sent: {error}", may_have_run=False
            ) from error
        return self._taken()

    def _taken(self) -> bytes:
        data = b"".join(self._received)
        self._received.clear()
        return data

    def _take_room(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            limit_mb = self.max_answer_bytes / BYTES_PER_MB
            raise ResultTooLarge(f"over {limit_mb:g} MB came. {ResultTooLarge().args[0]}")

    def _exchange(self, view: memoryview) -> None:
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
                    self._received.append(self._receive_now())
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
        self._take_room(len(data))
        return data

    def receive(self, need: int = 1) -> bytes:
        """Return `need` bytes at the least, and what has come besides."""
        data = self._receive(need)
        if len(data) >= need:
            return data
        chunks, need = [data], need - len(data)
        while need > 0:
            data = self._receive(need)
            chunks.append(data)
            need -= len(data)
        return b"".join(chunks)

    def _receive(self, need: int) -> bytes:
        try:
            if not self._timed:  # this wait gets what is left, not the whole time again
                self._arm()
            self._timed = False
            data = self.socket.recv(min(max(need, RECEIVE_BYTES), MAX_RECEIVE_BYTES))
        except (OSError, ValueError) as error:
            if _is_ours(error):
                raise self._late() from error
            raise ConnectionLost(f"the session ended: {error}") from error
        if not data:
            raise ConnectionLost("the server closed the session")
        self._take_room(len(data))
        return data

    def look(self) -> tuple[bytes, bool]:
        """Return what has already come, without waiting, and whether the peer is still there."""
        received = self._taken()
        try:
            self.socket.settimeout(0)
            while data := self.socket.recv(RECEIVE_BYTES):
                received += data
                if len(received) > MAX_RECEIVE_BYTES:  # nobody says so much unasked
                    return received, False
        except _WOULD_BLOCK:
            return received, True
        except (OSError, ValueError):
            return received, False
        return received, False

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

    def close(self) -> None:
        """Close the socket; the server sees the end of it."""
        self.socket.close()


def _is_ours(error: Exception) -> bool:
    """Tell whether our time limit passed; TCP's own (ETIMEDOUT) says that the peer is gone."""
    return isinstance(error, TimeoutError) and error.errno is None
