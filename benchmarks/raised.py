"""Raise max_connections instead: a session for each client, against 25 that all of them share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median, quantiles

from benchmarks.figures import Figure, Ratio, Section
from benchmarks.stack import POOL, RIDES, Stack
from benchmarks.storm import Crowd, Run
from broker.local.postgres import Postgres
from broker.plan.footprint import PROC, private_bytes

CLIENTS = 400
RAISED = CLIENTS + 20
WORK = {
    "the processors": "select count(*) from wide where name like '%77%'",
    "one row": "update item set name = name where id = 7",
}
"""What the clients do, by what it is that they all want."""


def measure(rounds: int, seconds: float, advance: Callable[[], object]) -> Iterator[Section]:
    """Compare the two, in turn, with the same clients and the same statements."""
    with ExitStack() as running:
        raised = running.enter_context(Stack(max_connections=RAISED))
        shared = running.enter_context(Stack())
        ports = {
            f"a session each, of {RAISED}": raised.postgres.port,
            f"{POOL} shared, of 100": shared.pgbouncer.port,
        }
        servers = dict(zip(ports, (raised.postgres, shared.postgres), strict=True))
        for stack in (raised, shared):  # item is everybody's to read only
            stack.postgres.admin(f"grant update on item to {RIDES}", database="bench")
        crowds = {name: running.enter_context(Crowd(port, CLIENTS)) for name, port in ports.items()}
        for crowd in crowds.values():
            crowd.log_in()
        advance()
        for wanted, sql in WORK.items():
            runs: dict[str, list[Run]] = {name: [] for name in crowds}
            for _ in range(rounds):
                for name, crowd in crowds.items():
                    runs[name].append(Run(*crowd.run(CLIENTS, seconds, sql)))
                    advance()
            failures = sum((crowd.failures for crowd in crowds.values()), Counter[str]())
            memory = {name: _memory_bytes(server) for name, server in servers.items()}
            yield _section(runs, memory, wanted, sql, seconds, failures)


def steps(rounds: int) -> int:
    """Return how often `measure` advances."""
    return 1 + len(WORK) * 2 * rounds


def _memory_bytes(postgres: Postgres) -> int:
    """Return what the client backends have for themselves; 0 where there is no /proc."""
    rows = postgres.admin(PROC)
    return sum(private_bytes(f"{rollup}\n{status}") for rollup, status in rows if rollup)


def _section(
    runs: dict[str, list[Run]],
    memory: dict[str, int],
    wanted: str,
    sql: str,
    seconds: float,
    failures: Counter[str],
) -> Section:
    section = Section(
        "raised",
        f"{CLIENTS} clients that all want {wanted}",
        ("sessions", "statements/s", "p50", "p99", "backends' memory", "÷ a session each"),
    )
    first = next(iter(runs.values()))
    for name, taken in runs.items():
        rates = [len(run.latencies_ms) / seconds for run in taken]
        base = [len(run.latencies_ms) / seconds for run in first]
        merged = quantiles([ms for run in taken for ms in run.latencies_ms], n=100)
        ratio = median(rate / other for rate, other in zip(rates, base, strict=True))
        section.add(
            name,
            Figure(median(rates), "/s", 0),
            Figure(merged[49], "ms"),
            Figure(merged[98], "ms"),
            Figure(memory[name] / 1e6, "MB", 0) if memory[name] else None,
            Ratio(ratio) if taken is not first else None,
        )
    section.notes = [
        f"`{sql}`",
        f"{len(first)} rounds of {seconds:g} s each, in turn; the clients take their share of the "
        "same processors in both.",
        *(f"{count} × {failure}" for failure, count in failures.most_common(5)),
    ]
    return section
