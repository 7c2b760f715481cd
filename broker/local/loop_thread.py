"""An asyncio loop on a thread of its own, for callers that know nothing of asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from broker.errors import UsageError
from broker.local.fleet_errors import FleetClosed

T = TypeVar("T")


class LoopThread:
    """Runs what other threads hand it until it is closed; nobody waits for ever.

    What is handed over either runs, or raises FleetClosed where it was handed over.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait for what it gives or raises."""
        try:
            with self._lock:
                self._check()
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise FleetClosed from None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function there, and wait for what it gives or raises."""

        async def call() -> T:
            return function(*arguments)

        return self.run(call())

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called there, in the order of the posts, without waiting."""
        with self._lock:
            if self._closed:
                raise FleetClosed
            self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Run what was posted, cancel what is under way, and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        unfinished = asyncio.all_tasks(self._loop)
        for task in unfinished:
            task.cancel()
        if unfinished:
            self._loop.run_until_complete(asyncio.wait(unfinished))
        self._loop.close()

    def _check(self) -> None:
        if self._closed:
            raise FleetClosed
        if threading.current_thread() is self._thread:
            raise UsageError("called on the fleet's own loop, which cannot wait for itself")
