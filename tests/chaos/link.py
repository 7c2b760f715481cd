"""One connection through a hop, and everything that can become of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum
from typing import TYPE_CHECKING

from tests.chaos.frames import Frontend, ends_an_answer

if TYPE_CHECKING:
    from tests.chaos.hop import Hop

RECEIVE_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class End(Enum):
    """How a connection ends."""

    CLOSE = "close"
    RESET = "reset"


class Link:
    """One connection through a hop. Its methods run on the hop's loop: use `hop.call`."""

    def __init__(self, hop: Hop, client: Stream, server: Stream) -> None:
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
            end(writer, how)

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


def end(writer: asyncio.StreamWriter, how: End) -> None:
    if how is End.CLOSE:
        writer.close()
        return
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
