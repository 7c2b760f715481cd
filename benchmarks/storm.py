"""2,000 clients on a pool of 25 against 25 clients on the same pool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.figures import Figure, Ratio, Section
from benchmarks.stack import POOL, RIDES

PROCESSES = 4
SERVICE_S = 0.02
HOLDS_A_SESSION = f"select pg_sleep({SERVICE_S})"
USES_A_PROCESSOR = "select id, name from item where id = 7"
THROUGHPUT_GOAL = 0.85
STOP_BOUND_S = 30.0


class Crowd:
    """The clients, spread over a few processes."""

    def __init__(self, port: int, clients: int, processes: int = PROCESSES) -> None:
        self._shares = [clients // processes] * processes
        self._first = {"port": port, "user": RIDES}
        self._processes: list[subprocess.Popen[str]] = []
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            with _reaped(process):
                if error is not None:
                    process.kill()
                assert process.stdin is not None
                process.stdin.close()

    def log_in(self) -> None:
        """Start the processes and open every session."""
        command = [sys.executable, "-m", "benchmarks.clients"]
        for _ in self._shares:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._processes.append(process)
        self._ask([{**self._first, "count": share} for share in self._shares])

    def run(self, active: int, seconds: float, sql: str) -> tuple[list[float], float]:
        """Let so many clients run; return the latencies in ms, and the clients' own CPU seconds."""
        each, rest = divmod(active, len(self._shares))
        orders = [
            {"active": each + (number < rest), "seconds": seconds, "sql": sql}
            for number in range(len(self._shares))
        ]
        return self._latencies(orders)

    def receive(self, rate: float, seconds: float, sql: str) -> tuple[list[float], float]:
        """Let requests come at random moments, `rate` a second, whoever is busy; return as `run`.

        Latencies are from the moment that a request comes.
        """
        each = rate / len(self._shares)
        orders = [
            {"rate": each, "seconds": seconds, "sql": sql, "seed": number}
            for number in range(len(self._shares))
        ]
        return self._latencies(orders)

    def _latencies(self, orders: list[dict[str, Any]]) -> tuple[list[float], float]:
        answers = self._ask(orders)
        latencies = [ms for answer in answers for ms in answer["latencies_ms"]]
        return latencies, sum(answer["cpu_s"] for answer in answers)

    def _ask(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for process, order in zip(self._processes, orders, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"a process of clients ended with {process.wait()}")
            answers.append(json.loads(line))
            self.failures.update(answers[-1]["failures"])
        return answers


@contextmanager
def _reaped(process: subprocess.Popen[str]) -> Iterator[None]:
    with process:
        try:
            yield
            process.wait(STOP_BOUND_S)
        finally:
            process.kill()


def measure(
    port: int, clients: int, rounds: int, seconds: float, advance: Callable[[], object]
) -> Iterator[Section]:
    """Compare the throughput of `clients` with that of as many as the pool has sessions."""
    with Crowd(port, clients) as crowd:
        crowd.log_in()
        advance()
        for sql, bound in ((HOLDS_A_SESSION, "the pool"), (USES_A_PROCESSOR, "the processors")):
            runs: dict[int, list[Run]] = {POOL: [], clients: []}
            for _ in range(rounds):
                for active, taken in runs.items():
                    taken.append(Run(*crowd.run(active, seconds, sql)))
                    advance()
            section = _section(runs, clients, bound, seconds, crowd.failures)
            section.notes = [f"`{sql}`", *_notes(runs, clients, sql, seconds, crowd.failures)]
            yield section


class Run(NamedTuple):
    """What one round gave."""

    latencies_ms: list[float]
    cpu_s: float


def _section(
    runs: dict[int, list[Run]],
    clients: int,
    bound: str,
    seconds: float,
    failures: Counter[str],
) -> Section:
    section = Section(
        "storm",
        f"A storm that {bound} bound: {clients:,} clients on a pool of {POOL}, through PgBouncer",
        ("clients", "statements/s", "p50", "p99", f"÷ {POOL} clients"),
    )
    for active, taken in runs.items():
        rates = [len(run.latencies_ms) / seconds for run in taken]
        merged = quantiles([ms for run in taken for ms in run.latencies_ms], n=100)
        few = [len(run.latencies_ms) / seconds for run in runs[POOL]]
        share = median(rate / other for rate, other in zip(rates, few, strict=True))
        section.add(
            f"{active:,}",
            Figure(median(rates), "/s", 0),
            Figure(merged[49], "ms"),
            Figure(merged[98], "ms"),
            Ratio(share, least=THROUGHPUT_GOAL) if active != POOL else None,
        )
    section.add("failures", Ratio(sum(failures.values()), 0), None, None, None)
    return section


def _notes(
    runs: dict[int, list[Run]], clients: int, sql: str, seconds: float, failures: Counter[str]
) -> list[str]:
    ceiling = POOL / SERVICE_S
    bound = median(len(run.latencies_ms) / seconds for run in runs[clients]) / ceiling
    what = (
        f"Each holds a session of the pool for {SERVICE_S * 1000:g} ms without using a processor: "
        f"{POOL} sessions can do {ceiling:,.0f}/s at the most, and {clients:,} clients got "
        f"{bound:.0%} of that."
        if sql == HOLDS_A_SESSION
        else "Clients, PgBouncer and PostgreSQL share the processors, so every wake-up counts; "
        "docs/decisions.md has what pgbench loses there."
    )
    cores = os.cpu_count() or 1
    cpu = median(run.cpu_s / seconds for run in runs[clients]) / cores
    return [
        f"{what} Each client is a Broker with one session, logged in beforehand. The clients "
        f"themselves ({PROCESSES} processes of threads) took {cpu:.0%} of this machine's {cores} "
        "processors.",
        f"{len(runs[clients])} rounds of {seconds:g} s each, in turn.",
        *(f"{count} × {failure}" for failure, count in failures.most_common(5)),
    ]
