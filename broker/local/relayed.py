"""One connection through the relay: its two ways, what is held on them, and its controls."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import Protocol

RECEIVE_BYTES = 65_536
HELD_BYTES = 4 << 20  # one way of one connection; then the sender has to wait, as on a network
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST

Served = Callable[[socket.socket, int], None]
"""What is called with a socket and the events that it is ready for."""


class Way(Enum):
    """One of a connection's two directions."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


BOTH = (Way.TO_SERVER, Way.TO_CLIENT)


class Pipe:
    """One way of a connection: what came, and from when on it may go."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.chunks: deque[tuple[float, bytes]] = deque()  # b"" is the stream's end
        self.held = 0
        self.paused = False
        self.blocked = False  # the sink takes no more for now
        self.ended = False  # the source's end was read
        self.done = False  # and passed on

    def receive(self, due_s: float) -> bytes:
        """Take in what has come; raises OSError where the source is reset."""
        data = self.source.recv(RECEIVE_BYTES)
        self.chunks.append((due_s, data))
        self.held += len(data)
        self.ended = not data
        return data

    def send(self, now_s: float) -> None:
        """Pass on what is due; raises OSError where the sink is gone."""
        self.blocked = False
        while self.chunks and not self.paused and self.chunks[0][0] <= now_s:
            due_s, data = self.chunks.popleft()
            if not data:
                self.sink.shutdown(socket.SHUT_WR)
                self.done = True
                return
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self.held -= sent
            if sent < len(data):
                self.chunks.appendleft((due_s, data[sent:]))
                self.blocked = True
                return


class Loop(Protocol):
    """What a connection needs of the relay that it goes through."""

    delay_s: float

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Run it on the relay's thread and wait for that."""

    def watch(self, sock: socket.socket, events: int, served: Served) -> None:
        """Have `served` called as soon as one of these events is there; 0 for never."""

    def later(self, due_s: float, relayed: Relayed, pipe: Pipe) -> None:
        """Flush the pipe then."""

    def forget(self, relayed: Relayed) -> None:
        """Take note of its end."""


class Relayed:
    """One client's connection through the relay. Its controls have taken effect on return."""

    def __init__(self, relay: Loop, client: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._client = client
        self._server = server
        self._pipes = {Way.TO_SERVER: Pipe(client, server), Way.TO_CLIENT: Pipe(server, client)}
        self._connecting = True
        self._server_spoke_last = True
        self.flights = 0
        """How often the client began to write anew after the server had answered.

        Counted as the write comes in. Logging in takes some: count from a value read after it.
        """
        self.open = True

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Relayed {state}, {self.flights} flights>"

    def held(self, way: Way) -> int:
        """Return how many bytes going this way came in and were not passed on yet."""
        return self._pipes[way].held

    def ended(self, way: Way) -> bool:
        """Return whether the sender has closed this way, and the receiver was told."""
        return self._pipes[way].done

    def pause(self, *ways: Way) -> None:
        """Pass nothing more on, going these ways or both; what comes is held."""
        self._relay.call(self._set_paused, ways or BOTH, True)

    def resume(self, *ways: Way) -> None:
        """Pass on what was held and what comes."""
        self._relay.call(self._set_paused, ways or BOTH, False)

    def close(self) -> None:
        """End both sides in an orderly way (FIN); what is held is lost."""
        self._relay.call(self.end)

    def reset(self) -> None:
        """End both sides with a reset (RST), as a crashed host or a firewall does."""
        self._relay.call(self.break_off)

    # From here on everything runs on the relay's thread.

    def _set_paused(self, ways: tuple[Way, ...], paused: bool) -> None:
        for way in ways:
            self._pipes[way].paused = paused
            self.flush(self._pipes[way])

    def serve(self, sock: socket.socket, events: int) -> None:
        """Do what one side is ready for."""
        incoming, outgoing = self._pipes.values()
        if sock is self._server:
            incoming, outgoing = outgoing, incoming
        try:
            if self._connecting and sock is self._server:
                failure = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failure:
                    raise OSError(failure, "no server")
                self._connecting = False
            if events & selectors.EVENT_READ and self.open:
                self._receive(incoming)
        except OSError:
            self.break_off()
        if events & selectors.EVENT_WRITE:
            self.flush(outgoing)

    def _receive(self, pipe: Pipe) -> None:
        due_s = monotonic() + self._relay.delay_s
        try:
            data = pipe.receive(due_s)
        except BlockingIOError:
            return
        if data:
            from_client = pipe.source is self._client
            self.flights += from_client and self._server_spoke_last
            self._server_spoke_last = not from_client
        if self._relay.delay_s:
            self._relay.later(due_s, self, pipe)
            self.watch()
        else:
            self.flush(pipe)

    def flush(self, pipe: Pipe) -> None:
        """Pass on what is due on this pipe."""
        if not self.open:
            return
        try:
            if not self._connecting:
                pipe.send(monotonic())
        except OSError:
            self.break_off()
        if all(pipe.done for pipe in self._pipes.values()):
            self.end()
        self.watch()

    def watch(self) -> None:
        """Let the relay tell us of what each side can do that we wait for."""
        if not self.open:
            return
        there, back = self._pipes.values()
        for sock, incoming, outgoing in ((self._client, there, back), (self._server, back, there)):
            wanted = 0
            if sock is self._server and self._connecting:
                wanted = selectors.EVENT_WRITE
            else:
                if not incoming.ended and incoming.held < HELD_BYTES:
                    wanted |= selectors.EVENT_READ
                if outgoing.blocked:
                    wanted |= selectors.EVENT_WRITE
            self._relay.watch(sock, wanted, self.serve)

    def break_off(self) -> None:
        """Reset both sides."""
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.end()

    def end(self) -> None:
        """Close both sides."""
        if self.open:
            self.open = False
            for sock in (self._client, self._server):
                self._relay.watch(sock, 0, self.serve)
                sock.close()
            self._relay.forget(self)
