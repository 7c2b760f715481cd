"""A hop: a TCP proxy on loopback that fails in every way that a network can, when told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any

from broker.local.loop_thread import LoopThread
from broker.local.process import LOOPBACK, free_port
from tests.chaos.cut import Cut
from tests.chaos.frames import Frontend, ends_an_answer

RECEIVE_BYTES = 65_536
BACKLOG = 512
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class End(Enum):
    """How a connection ends."""

    CLOSE = "close"
    RESET = "reset"


class Hop:
    """Listens on a port and connects each client to the port that `target` names at that moment.

    Where `target` moves, as a name does in a failover, the connections that are open stay where
    they are. Every control may be called from any thread and has taken effect on return.
    """

    host = LOOPBACK

    def __init__(self, name: str, loop: LoopThread, target: Callable[[], int]) -> None:
        self.name = name
        self.port = free_port()
        self.failures: list[BaseException] = []
        """What went wrong in the hop itself; a harness that fails must not look like a network."""
        self._loop = loop
        self._target = target
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._cuts: list[Cut] = []
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Hop {self.name} on {self.port}, {len(self._links)} links>"

    def open(self) -> None:
        """Listen from here on."""
        self._loop.run(self._open())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, backlog=BACKLOG, limit=RECEIVE_BYTES
        )

    def close(self) -> None:
        """Close the port and every link."""
        self._loop.run(self._close())

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._links.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, *client: Any) -> None:
        try:
            server = await asyncio.open_connection(self.host, self._target(), limit=RECEIVE_BYTES)
        except OSError:  # nobody listens there: the client finds its connection reset
            _end(client[1], End.RESET)
            return
        for _, writer in (client, server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, client, server)
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            await link.run()
        except (OSError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            link.end(link.ending)
            del self._links[link]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it on the hop's loop, and wait for what it gives."""
        return self._loop.call(function, *arguments)

    def links(self) -> list[Link]:
        """Return the links that are open, oldest first."""
        return self._loop.call(lambda: list(self._links))

    def arm(self, cut: Cut) -> Cut:
        """Let the next flight that the cut wants be cut; return the cut."""
        self._loop.call(self._cuts.append, cut)
        return cut

    def disarm(self) -> None:
        """Cut nothing from here on."""
        self._loop.call(self._cuts.clear)

    def cut_for(self, statements: tuple[str, ...]) -> Cut | None:
        """Return the cut that is meant for this flight, and forget it. On the loop."""
        for cut in self._cuts:
            if any(cut.wants(sql) for sql in statements):
                self._cuts.remove(cut)
                return cut
        return None

    def heal(self) -> None:
        """Cut nothing more, let stalled links go on, and end those that have gone silent."""
        self._loop.call(self._heal)

    def _heal(self) -> None:
        self._cuts.clear()
        for link in list(self._links):
            link.trickling = False
            if link.silent:
                link.end(End.RESET)
            link.go_on()


class Link:
    """One connection through a hop. Its methods run on the hop's loop: use `hop.call`."""

    def __init__(self, hop: Hop, client: Any, server: Stream) -> None:
        self.hop = hop
        self.trickling = False
        """Whether the server's answers arrive byte by byte."""
        self.silent = False
        """Whether nothing passes any more, either way, with both ends held open: half-open."""
        self.ending = End.CLOSE
        self.client_port: int = client[1].get_extra_info("peername")[1]
        self.server_port: int = server[1].get_extra_info("sockname")[1]
        """Its own port towards the server: client_port in pg_stat_activity."""
        self._client: Stream = client
        self._server = server
        self._going = asyncio.Event()
        self._going.set()
        self._hearing = asyncio.Event()
        self._hearing.set()
        self._swallowed: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Pass everything on until one side ends."""
        pumps = [asyncio.ensure_future(self._to_server()), asyncio.ensure_future(self._to_client())]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def pause(self) -> None:
        """Hold back the server's answers."""
        self._going.clear()

    def go_on(self) -> None:
        """Let the server's answers through."""
        self._going.set()

    def fall_silent(self) -> None:
        """Go half-open: both ends find their peer there, and hear nothing from it."""
        self.silent = True

    def end(self, how: End) -> None:
        """End both sides."""
        self.silent, self.ending = False, how
        for _, writer in (self._client, self._server):
            _end(writer, how)

    async def forward(self, flight: bytes) -> None:
        """Send a flight on to the server."""
        self._server[1].write(flight)
        await self._server[1].drain()

    async def answered(self, flight: bytes) -> None:
        """Send a flight on, and keep its answer from the client; return once it was there.

        What the server says then waits for `hear_again`.
        """
        self._hearing.clear()
        self._swallowed = asyncio.get_running_loop().create_future()
        await self.forward(flight)
        await self._swallowed

    async def _to_server(self) -> None:
        frontend = Frontend()
        while data := await self._client[0].read(RECEIVE_BYTES):
            if self.silent:
                continue
            flight, statements = frontend.feed(data)
            cut = self.hop.cut_for(statements) if statements else None
            if cut is not None:
                await cut.strike(self, flight)
            elif flight:
                await self.forward(flight)
        await self._hold_if_silent()

    async def _to_client(self) -> None:
        while data := await self._server[0].read(RECEIVE_BYTES):
            if self.silent:
                continue
            if self._swallowed is not None and not self._swallowed.done():
                if ends_an_answer(data):
                    self._swallowed.set_result(None)
                continue
            await self._hearing.wait()
            await self._going.wait()
            await self._deliver(data)
        await self._hearing.wait()
        await self._hold_if_silent()

    async def _deliver(self, data: bytes) -> None:
        writer = self._client[1]
        if not self.trickling:
            writer.write(data)
        else:
            for at in range(len(data)):
                writer.write(data[at : at + 1])
                await asyncio.sleep(0)
        await writer.drain()

    async def _hold_if_silent(self) -> None:
        if self.silent:
            await asyncio.get_running_loop().create_future()

    def hear_again(self) -> None:
        """Let what the server says from here on through: its last words, say."""
        self._hearing.set()


def _end(writer: asyncio.StreamWriter, how: End) -> None:
    if how is End.CLOSE:
        writer.close()
        return
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


Strike = Callable[[Link, bytes], Coroutine[Any, Any, None]]
"""What becomes of a flight that is cut."""
