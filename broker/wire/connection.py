"""One server connection on a blocking socket: a round trip at a time, within its deadline."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, NamedTuple

from broker.deadline import Deadline
from broker.errors import BrokerError, ConnectionLost, ProtocolError, UsageError
from broker.wire import copying, messages
from broker.wire.channel import Channel
from broker.wire.exchange import Exchange, Inbox, Wants
from broker.wire.protocol import Protocol


class Sighting(NamedTuple):
    """What a look at an idle session's socket saw."""

    alive: bool
    sqlstate: str | None = None
    message: str | None = None


class Connection:
    """A channel to a server, and what was said on it.

    One thread at a time: a second one gets UsageError, never an answer that is not its own.
    """

    def __init__(self, channel: Channel, protocol: Protocol) -> None:
        """Take over a connection that has started up."""
        self.protocol = protocol
        self.gave_up = False
        """Whether it was left with a statement still under way."""
        self.lost = False
        """Whether the peer ended it."""
        self._channel = channel
        self._closed = False
        self._busy = threading.Lock()

    @property
    def whole(self) -> bool:
        """Whether every round trip so far was answered to its end; if not, it is of no more use."""
        return self.protocol.in_sync and not self._closed

    @property
    def in_flight(self) -> bool:
        """Whether a thread is in the middle of a round trip."""
        return self._busy.locked()

    def exchange(
        self, data: bytes, exchange: Exchange, deadline: Deadline, stream: Any = None
    ) -> None:
        """Send it all, then read until ReadyForQuery.

        `stream` is what COPY reads from or writes to; what it raises is raised as it is.
        """
        if not self._busy.acquire(blocking=False):
            raise UsageError("the session is in use by another thread: give each its own")
        protocol, channel = self.protocol, self._channel
        try:
            if self._closed or not protocol.in_sync:
                raise ConnectionLost("the session was closed before", may_have_run=False)
            if protocol.unread_bytes:
                self._refuse_if_ended(exchange.inbox)
            channel.begin(deadline, limited=stream is None)  # a stream's fills no memory
            protocol.begin(exchange)
            protocol.receive(self._sent(data) or channel.receive())
            transfer = None
            while (wants := protocol.advance()) is not Wants.NOTHING:
                if wants is Wants.BYTES:
                    protocol.receive(channel.receive(protocol.missing))
                    continue
                transfer = transfer or copying.Transfer(stream)
                if wants is Wants.COPY_OUT:
                    transfer.write(protocol.copied)
                elif self._send_copy(transfer) is Wants.NOTHING:
                    break
        except ConnectionLost:
            self.lost = True
            raise
        except ProtocolError:
            raise
        except BaseException:  # the caller's own too: what it ran is to be canceled
            self.gave_up = not protocol.in_sync
            raise
        finally:
            self._busy.release()
        if transfer is not None:
            transfer.check(exchange.error)

    def _send_copy(self, transfer: copying.Transfer) -> Wants:
        """Send COPY's data until its end, or until the server has refused it."""
        protocol, channel = self.protocol, self._channel
        try:
            for piece in transfer.pieces():
                if protocol.unread_bytes and protocol.advance() is Wants.NOTHING:
                    return Wants.NOTHING  # a Query that was refused
                if protocol.refused:
                    break
                channel.arm()
                protocol.receive(channel.send(messages.copy_data(piece), at_once=False))
            channel.arm()
            end = protocol.copy_end(transfer.reason)
            protocol.receive(channel.send(end, at_once=False))
        except ConnectionLost as lost:  # part of the stream is gone: not to be sent again
            lost.may_have_run = True
            raise
        return Wants.BYTES

    def _sent(self, data: bytes) -> bytes:
        """Send it all, and return what came meanwhile; the error says why the server ended it."""
        try:
            return self._channel.send(data)
        except ConnectionLost:
            received, _ = self._channel.look()
            self.protocol.receive(received)
            self._refuse_if_ended(None, sent=True)
            raise

    def _refuse_if_ended(self, inbox: Inbox | None, *, sent: bool = False) -> None:
        """Raise the error with which the server ended the session, if that is what came.

        It was said before a statement was read, so that one did not run. With `sent`, answers to
        what was sent are skipped; else they would be answers to somebody else: ProtocolError.
        """
        protocol = self.protocol
        try:
            if sent:
                with contextlib.suppress(ProtocolError):  # that it is lost says more
                    protocol.read_last_words()
            else:
                protocol.read_asynchronous(inbox)
        except ConnectionLost as lost:
            lost.may_have_run = False
            raise

    def look(self) -> Sighting:
        """Look at the socket of the idle session, without waiting and without a round trip."""
        data, alive = self._channel.look()
        self.protocol.receive(data)
        try:
            self.protocol.read_asynchronous()
        except ConnectionLost as lost:
            return Sighting(False, lost.sqlstate, lost.args[0])
        except BrokerError as error:  # what cannot be read is of no more use
            return Sighting(False, None, str(error))
        return Sighting(alive, None, None if alive else "the server closed the session")

    def end(self, within_s: float) -> bool:
        """End the session and tell whether the server surely has ended it, too.

        Waits at most `within_s` for the server to hang up, which it does when it has freed the
        session's place. A reset is no proof: a middlebox may have sent it. Never fails.
        """
        ended = False
        if not self._closed and not self.in_flight:
            last_word = messages.TERMINATE if self.protocol.in_sync else b""
            ended = self._channel.hang_up(last_word, within_s)
        self.close()
        return ended

    def close(self) -> None:
        """End the session. Never waits and never fails: there is nobody left to tell."""
        if self._closed:
            return
        self._closed = True
        sock = self._channel.socket
        with contextlib.suppress(OSError, ValueError):
            if self.protocol.in_sync:
                sock.settimeout(0)
                sock.send(messages.TERMINATE)
        with contextlib.suppress(OSError):
            if self.in_flight:  # wakes the thread that waits in it
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._channel.close()

    def abandon(self) -> None:
        """Let go of the session without a word to the server: it belongs to a parent process."""
        self.protocol.abandon()
        self._busy = threading.Lock()
        self.close()
