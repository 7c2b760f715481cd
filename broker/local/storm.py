"""A storm: many clients at once, each a Broker of its own as each environment has one.

The clients are threads in a few processes, so that one interpreter's lock does not pace them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from broker import Broker, BrokerError
from broker.settings import Settings

STACK_BYTES = 256 * 1024  # of a client's thread; the default is 8 MiB of address space
LEDGER = "create table if not exists ledger (id bigint generated always as identity, token text)"
WRITE = "insert into ledger (token) values (:token) returning token"
BOUND_S = 300.0  # a storm that has not ended by then never will

Progress = Callable[[int], None]
if TYPE_CHECKING:
    Pipe = Connection[Any, Any]


@dataclass
class StormResult:
    """What the clients saw. Times are in ms, measured by each client around its call."""

    clients: int
    answered: int = 0
    tokens: list[str] = field(default_factory=list)
    """Of the rows that were acknowledged."""
    foreign: int = 0
    """Answers that were not the client's own row."""
    failures: Counter[str] = field(default_factory=Counter)
    """By SQLSTATE, or by the error's name where the server gave none."""
    latencies_ms: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return self.answered / self.elapsed_s if self.elapsed_s else 0.0

    def add(self, other: StormResult) -> None:
        """Take in what the clients of another process saw."""
        self.answered += other.answered
        self.tokens += other.tokens
        self.foreign += other.foreign
        self.failures.update(other.failures)
        self.latencies_ms += other.latencies_ms
        self.elapsed_s = max(self.elapsed_s, other.elapsed_s)


def run_storm(
    settings: Settings,
    *,
    clients: int,
    requests_each: int,
    processes: int | None = None,
    progress: Progress = lambda _: None,
) -> StormResult:
    """Connect all clients, then let each write `requests_each` rows and read its own back.

    The ledger's table must exist (LEDGER). `progress` is told how many requests were answered.
    """
    processes = min(clients, processes or max(2, os.cpu_count() or 2))
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for number in range(processes):
        ours, theirs = spawn.Pipe()
        share = clients // processes + (number < clients % processes)
        worker = spawn.Process(
            target=_work, args=(theirs, settings, share, requests_each), daemon=True
        )
        worker.start()
        theirs.close()
        pipes.append(ours)
        workers.append(worker)
    try:
        return _conduct(pipes, clients, progress)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _conduct(pipes: list[Pipe], clients: int, progress: Progress) -> StormResult:
    for pipe in pipes:
        pipe.recv()  # all its clients are connected
    for pipe in pipes:
        pipe.send("go")
    total = StormResult(clients)
    done: dict[int, int] = {}
    waiting = list(pipes)
    while waiting:
        ready = wait(waiting)
        for pipe in [pipe for pipe in waiting if pipe in ready]:
            message = pipe.recv()
            if isinstance(message, StormResult):
                total.add(message)
                waiting.remove(pipe)
            else:
                done[id(pipe)] = message
                progress(sum(done.values()))
    return total


def _work(pipe: Pipe, settings: Settings, clients: int, requests_each: int) -> None:
    """Be one process of the storm."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    threading.stack_size(STACK_BYTES)
    connected, go = threading.Barrier(clients + 1), threading.Event()
    crowd = [_Client(Broker(settings), f"{os.getpid()}-{n}", requests_each) for n in range(clients)]
    threads = [
        threading.Thread(target=client.live, args=(connected, go), daemon=True) for client in crowd
    ]
    for thread in threads:
        thread.start()
    connected.wait(BOUND_S)
    pipe.send("connected")
    pipe.recv()
    started_s = time.monotonic()
    go.set()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            pipe.send(sum(client.result.answered for client in crowd))
    total = StormResult(clients)
    for client in crowd:
        total.add(client.result)
        client.db.close()
    total.elapsed_s = time.monotonic() - started_s
    pipe.send(total)


class _Client:
    def __init__(self, db: Broker, name: str, requests: int) -> None:
        self.db = db
        self.result = StormResult(1)
        self._name = name
        self._requests = requests

    def live(self, connected: threading.Barrier, go: threading.Event) -> None:
        """Connect, wait until all have, and storm together with them."""
        try:
            self.db.run("select 1")
        except BrokerError as error:
            self._failed(error)
        connected.wait(BOUND_S)
        go.wait(BOUND_S)
        self.storm()

    def _failed(self, error: BrokerError) -> None:
        self.result.failures[error.sqlstate or type(error).__name__] += 1

    def storm(self) -> None:
        for number in range(self._requests):
            token = f"{self._name}-{number}"
            started_s = time.perf_counter()
            try:
                row = self.db.run(WRITE, token=token).one()
            except BrokerError as error:
                self._failed(error)
            else:
                self.result.latencies_ms.append((time.perf_counter() - started_s) * 1000)
                self.result.answered += 1
                self.result.tokens.append(token)
                self.result.foreign += row != [token]
