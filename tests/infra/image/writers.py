"""Clients that write through the library until they are told to stop: an environment each.

Threads in a few processes, so that one interpreter's lock does not pace them.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import threading
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from broker import Broker, BrokerError
from broker.local.storm import STACK_BYTES, WRITE, StormResult
from broker.settings import Settings
from tests.wait import wait_until

PROCESSES = 2
PAUSE_S = 0.25  # between two invocations of an environment, on average
if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]


class Writers:
    """`with` starts them; `stop()` gives what all of them saw."""

    def __init__(self, settings: Settings, clients: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._over: Event = context.Event()
        self._counts: list[Synchronized[int]] = []
        self._pipes: list[Pipe] = []
        self._workers = []
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            share = clients // PROCESSES + (number < clients % PROCESSES)
            count = context.Value("q", 0)
            arguments = (theirs, settings, share, self._over, count)
            self._workers.append(context.Process(target=_work, args=arguments, daemon=True))
            self._pipes.append(ours)
            self._counts.append(count)
        self._clients = clients

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        for pipe in self._pipes:
            pipe.recv()  # each of its clients has written once
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.join()

    def acknowledged(self) -> int:
        """Return how many writes were acknowledged so far."""
        return sum(count.value for count in self._counts)

    def wait_for(self, more: int) -> None:
        """Wait until so many more writes are acknowledged."""
        wanted = self.acknowledged() + more
        wait_until(lambda: self.acknowledged() >= wanted, f"{more} more writes", 60)

    def stop(self) -> StormResult:
        """Let each finish what it is at; what they saw."""
        self._over.set()
        total = StormResult(self._clients)
        for pipe in self._pipes:
            total.add(pipe.recv())
        return total


def _work(
    pipe: Pipe, settings: Settings, clients: int, over: Event, count: Synchronized[int]
) -> None:
    """Be one process of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.stack_size(STACK_BYTES)
    first = threading.Barrier(clients + 1)
    crowd = [_Writer(settings, f"{os.getpid()}-{n}", over, count) for n in range(clients)]
    threads = [threading.Thread(target=writer.live, args=(first,), daemon=True) for writer in crowd]
    for thread in threads:
        thread.start()
    first.wait()
    pipe.send("connected")
    total = StormResult(clients)
    for thread, writer in zip(threads, crowd, strict=True):
        thread.join()
        total.add(writer.result)
    pipe.send(total)


class _Writer:
    def __init__(
        self, settings: Settings, name: str, over: Event, count: Synchronized[int]
    ) -> None:
        self.result = StormResult(1)
        self._db = Broker(settings)
        self._name = name
        self._over = over
        self._count = count
        self._rng = random.Random(name)

    def live(self, first: threading.Barrier) -> None:
        with self._db:
            for number in itertools.count():
                self._write(f"{self._name}-{number}", in_transaction=number % 2 == 1)
                if number == 0:
                    first.wait()
                if self._over.wait(self._rng.expovariate(1 / PAUSE_S)):
                    return

    def _write(self, token: str, *, in_transaction: bool) -> None:
        try:
            if in_transaction:
                with self._db.transaction() as tx:
                    row = tx.run(WRITE, token=token).one()
                    tx.run("select 1")
            else:
                row = self._db.run(WRITE, token=token).one()
        except BrokerError as error:
            self.result.failures[f"{type(error).__name__}: {error}"] += 1
            return
        self.result.answered += 1
        self.result.tokens.append(token)
        self.result.foreign += row != [token]
        with self._count.get_lock():
            self._count.value += 1
