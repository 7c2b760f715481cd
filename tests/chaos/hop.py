"""A hop: a TCP proxy on loopback that fails in every way that a network can, when told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from broker.local.loop_thread import LoopThread
from broker.local.process import LOOPBACK, free_port
from tests.chaos.cut import Cut
from tests.chaos.link import RECEIVE_BYTES, End, Link, end

BACKLOG = 512


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
            end(client[1], End.RESET)
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
            if statements and cut.wants(statements):
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
