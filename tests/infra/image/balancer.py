"""A TCP balancer on loopback that treats its targets as a Network Load Balancer does.

New flows go to the targets that are registered, each drawn at random; a flow stays with its target
for life, so one that is deregistered keeps its flows until it ends them itself. A reset is passed
on as a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from broker.local.process import LOOPBACK

CHUNK_BYTES = 65_536
BACKLOG = 4_096


class Balancer:
    """Listens on a port of its own; `with` starts it, and ends every flow at the end."""

    def __init__(self) -> None:
        self.port = 0
        self.opened: Counter[int] = Counter()
        """How many flows each target was ever given, by its port."""
        self._targets: list[int] = []
        self._flows: Counter[int] = Counter()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer")
        self._rng = random.Random(4)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def register(self, port: int) -> None:
        """Let new flows go to this target, too."""
        self._targets = [*self._targets, port]

    def deregister(self, port: int) -> None:
        """Let no new flow go to this target; those that it has stay."""
        self._targets = [each for each in self._targets if each != port]

    def flows(self, port: int) -> int:
        """Return how many flows this target has now."""
        return self._flows[port]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _leave(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._targets:
            return
        port = self._rng.choice(self._targets)
        try:
            there, back = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return
        self.opened[port] += 1
        self._flows[port] += 1
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            back.transport.abort()
        finally:
            self._flows[port] -= 1
            back.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes, and the end of it."""
    while data := await source.read(CHUNK_BYTES):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()
