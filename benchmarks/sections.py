"""The sections there are, how long each measures, and in what steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks import application, fetch, imports, latency, raised, simulation, storm
from benchmarks.figures import Section
from benchmarks.peers import PEERS
from benchmarks.stack import CLIENTS, DELAY_S, Stack

Advance = Callable[[], object]


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    statements: int  # in a round, without the delay
    delayed_statements: int
    fetch_rounds: int
    import_rounds: int
    clients: int
    storm_rounds: int
    storm_s: float
    application: application.Effort


FULL = Effort(
    rounds=21,
    statements=100,
    delayed_statements=30,
    fetch_rounds=11,
    import_rounds=15,
    clients=CLIENTS,
    storm_rounds=3,
    storm_s=5.0,
    application=application.FULL,
)
QUICK = Effort(
    rounds=5,
    statements=50,
    delayed_statements=10,
    fetch_rounds=3,
    import_rounds=3,
    clients=400,
    storm_rounds=1,
    storm_s=3.0,
    application=application.QUICK,
)

_COMPETITORS = len(PEERS) + 1  # ours counts twice: with the deadline riding and without


@dataclass(frozen=True)
class Plan:
    """One section: what measures it, and how often that calls `advance`."""

    measure: Callable[[Stack, Effort, Advance], Iterable[Section]]
    steps: Callable[[Effort], int]


def _direct(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    title, port = "One row, direct", stack.postgres.port
    rounds, statements = effort.rounds, effort.statements
    yield latency.measure("direct", title, port, latency.NO_GOALS, rounds, statements, advance)


def _pooled(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    title, port = "One row, through PgBouncer in transaction mode", stack.pgbouncer.port
    rounds, statements = effort.rounds, effort.statements
    yield latency.measure("pooled", title, port, latency.POOLED_GOALS, rounds, statements, advance)


def _delayed(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    title = f"One row, through PgBouncer {DELAY_S * 1000:g} ms further away each way"
    port, rounds, statements = stack.relay.port, effort.rounds, effort.delayed_statements
    yield latency.measure(
        "delayed", title, port, latency.DELAYED_GOALS, rounds, statements, advance
    )


def _fetch(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    for shape, sql in fetch.SHAPES.items():
        yield fetch.measure(shape, sql, stack.postgres.port, effort.fetch_rounds, advance)


def _imports(_: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    yield imports.measure(effort.import_rounds, advance)


def _storm(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    port, rounds = stack.pgbouncer.port, effort.storm_rounds
    yield from storm.measure(port, effort.clients, rounds, effort.storm_s, advance)


def _simulation(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    port, rounds = stack.pgbouncer.port, effort.storm_rounds
    yield simulation.measure(port, effort.clients, rounds, effort.storm_s, advance)


def _application(stack: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    yield from application.measure(stack, effort.application, advance)


def _raised(_: Stack, effort: Effort, advance: Advance) -> Iterator[Section]:
    yield from raised.measure(effort.storm_rounds, effort.storm_s, advance)


SECTIONS: Mapping[str, Plan] = {
    "direct": Plan(_direct, lambda effort: effort.rounds * _COMPETITORS),
    "pooled": Plan(_pooled, lambda effort: effort.rounds * _COMPETITORS),
    "delayed": Plan(_delayed, lambda effort: effort.rounds * _COMPETITORS),
    "fetch": Plan(_fetch, lambda effort: effort.fetch_rounds * len(PEERS) * len(fetch.SHAPES)),
    "imports": Plan(_imports, lambda effort: effort.import_rounds * len(imports.MODULES)),
    "storm": Plan(_storm, lambda effort: 1 + 4 * effort.storm_rounds),
    "application": Plan(_application, lambda effort: application.steps(effort.application)),
    "raised": Plan(_raised, lambda effort: raised.steps(effort.storm_rounds)),
    "simulation": Plan(_simulation, lambda effort: 1 + 4 * effort.storm_rounds),
}
