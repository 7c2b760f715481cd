"""A process full of clients, each a Broker with a session of its own: the storm's load.

Run as `python -m benchmarks.clients`. Lines of JSON on stdin and stdout: first who to be
({"port", "user", "count"}), answered once all have logged in; then {"active", "seconds", "sql"},
or {"rate", "seconds", "sql", "seed"}, answered with what was done in those seconds. It ends with
stdin.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

from benchmarks.stack import Target
from broker import Broker
from broker.local.open_files import allow_open_files

LOGINS_AT_ONCE = 8
STACK_BYTES = 256 << 10  # hundreds of threads


@dataclass
class Done:
    """What the clients did."""

    latencies_ms: list[float] = field(default_factory=list)
    """Of the statements that were answered in time."""
    failures: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    """What this process itself took of the processors."""


class Clients:
    """So many environments."""

    def __init__(self, target: Target, count: int) -> None:
        self._brokers = [Broker(target.settings()) for _ in range(count)]

    def log_in(self) -> Done:
        """Open every session."""
        done = Done()
        with ThreadPoolExecutor(LOGINS_AT_ONCE) as pool:
            for failure in pool.map(_log_in, self._brokers):
                if failure is not None:
                    done.failures[failure] += 1
        return done

    def run(self, active: int, seconds: float, sql: str) -> Done:
        """Let `active` of them run `sql` one after the other, all at once."""
        done = Done()
        start = threading.Event()
        until_s = 0.0

        def client(db: Broker) -> None:
            taken: list[float] = []
            start.wait()
            now = monotonic()
            while now < until_s:
                begun = now
                try:
                    db.run(sql)
                except Exception as error:
                    done.failures[f"{type(error).__name__}: {error}"] += 1
                now = monotonic()
                if now < until_s:
                    taken.append((now - begun) * 1000)
            done.latencies_ms += taken

        threads = [threading.Thread(target=client, args=(db,)) for db in self._brokers[:active]]
        for thread in threads:
            thread.start()
        until_s, cpu_s = monotonic() + seconds, _cpu_s()
        start.set()
        for thread in threads:
            thread.join()
        done.cpu_s = _cpu_s() - cpu_s
        return done

    def receive(self, rate: float, seconds: float, sql: str, seed: int) -> Done:
        """Let requests come at random moments, `rate` a second; a client that is free takes one."""
        done, rng = Done(), random.Random(seed)
        coming: SimpleQueue[float | None] = SimpleQueue()

        def client(db: Broker) -> None:
            taken: list[float] = []
            while (came := coming.get()) is not None:
                try:
                    db.run(sql)
                except Exception as error:
                    done.failures[f"{type(error).__name__}: {error}"] += 1
                else:
                    taken.append((monotonic() - came) * 1000)
            done.latencies_ms += taken

        threads = [threading.Thread(target=client, args=(db,)) for db in self._brokers]
        for thread in threads:
            thread.start()
        now, cpu_s = monotonic(), _cpu_s()
        came, until_s = now + rng.expovariate(rate), now + seconds
        while came < until_s:
            sleep(max(0.0, came - monotonic()))
            coming.put(came)
            came += rng.expovariate(rate)
        for _ in threads:
            coming.put(None)
        for thread in threads:
            thread.join()
        done.cpu_s = _cpu_s() - cpu_s
        return done

    def close(self) -> None:
        """End the sessions."""
        for db in self._brokers:
            db.close()


def _log_in(db: Broker) -> str | None:
    try:
        db.run("select 1")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Do as stdin says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes stdin
    threading.stack_size(STACK_BYTES)
    first = json.loads(sys.stdin.readline())
    allow_open_files(first["count"] + 100)
    clients = Clients(Target(first["port"], first["user"]), first["count"])
    _answer(clients.log_in())
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        _answer(clients.receive(**order) if "rate" in order else clients.run(**order))
    clients.close()


def _answer(done: Done) -> None:
    print(json.dumps(asdict(done)), flush=True)


if __name__ == "__main__":
    main()
