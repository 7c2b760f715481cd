"""Warm invocations: how many flights each client takes, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random
from statistics import median, quantiles

from benchmarks.application.variants import (
    BROKER,
    BROKER_SQLALCHEMY,
    OURS,
    PRELOAD,
    SQLALCHEMY,
    VARIANTS,
    Variant,
    Work,
    event,
    is_right,
)
from benchmarks.figures import Figure, Ratio, Section, ratio
from benchmarks.rounds import interleaved
from benchmarks.stack import DELAY_S, Stack
from broker.local.fleet import Fleet, Function
from broker.local.relay import Relay

MEASURED = (BROKER, BROKER_SQLALCHEMY)
GOALS = {(BROKER_SQLALCHEMY, SQLALCHEMY): 0.5}
WARM_UP = 10  # invocations
WORDS = {
    Work.WRITE: "A select, an insert and an update in a transaction",
    Work.READ: "A select",
}


class Warm:
    """One client's function, with one environment; `relay` counts its flights, if it has one."""

    def __init__(self, fleet: Fleet, function: Function, relay: Relay | None = None) -> None:
        self._fleet = fleet
        self._name = function.name
        self._relay = relay
        self._rng = Random(function.name)
        self.taken_ms: list[float] = []
        self.flights: list[float] = []
        fleet.deploy(function)
        for _ in range(WARM_UP):
            self._invoke()

    def _invoke(self) -> float:
        asked = event(self._rng)
        told = self._fleet.invoke(self._name, asked).result()
        if not is_right(asked, told["answer"]):
            raise AssertionError(f"{self._name}: {told['answer']} is no answer to {asked}")
        return float(told["took_us"]) / 1000

    def round(self, invocations: int) -> float:
        """Return the median of so many invocations, one after the other, in ms."""
        before = self._relay.flights if self._relay else 0
        taken_ms = [self._invoke() for _ in range(invocations)]
        if self._relay:
            self.flights.append((self._relay.flights - before) / invocations)
        self.taken_ms += taken_ms
        return median(taken_ms)


def measure(
    stack: Stack, rounds: int, invocations: int, few: int, advance: Callable[[], object]
) -> Iterator[Section]:
    """Compare the clients near the pooler, and 0.5 ms away from it, where `few` are enough."""
    with ExitStack() as opened:
        fleet = opened.enter_context(Fleet(preload=PRELOAD))
        to_server = opened.enter_context(Relay(stack.postgres.port, delay_s=DELAY_S))
        for work in Work:
            near, far = {}, {}
            for each in VARIANTS:
                relay = to_server if each.direct else stack.relay
                near[each] = Warm(fleet, each.function(work, each.port(stack)))
                far[each] = Warm(fleet, each.function(work, relay.port), relay)
            taken = _interleaved(near, rounds, invocations, advance)
            yield _section(work, near, taken, far, f"{rounds} rounds of {invocations} each.")
            taken = _interleaved(far, rounds, few, advance)
            yield _section(work, far, taken, far, f"{rounds} rounds of {few} each.", away=True)


def _interleaved(
    warm: dict[Variant, Warm], rounds: int, invocations: int, advance: Callable[[], object]
) -> dict[Variant, list[float]]:
    taken = interleaved(
        {each.name: one for each, one in warm.items()},
        rounds,
        lambda one: one.round(invocations),
        advance,
    )
    return {each: taken[each.name] for each in warm}


def _section(
    work: Work,
    warm: dict[Variant, Warm],
    taken: dict[Variant, list[float]],
    counted: dict[Variant, Warm],
    how_many: str,
    *,
    away: bool = False,
) -> Section:
    where = f", {DELAY_S * 1000:g} ms further away each way" if away else ""
    section = Section(
        "application",
        f"{WORDS[work]}, in a warm environment{where}",
        ("client", "flights", "p50", "p99", *(f"{mine.name} ÷ it" for mine in MEASURED)),
    )
    for each, medians_ms in taken.items():
        section.add(
            each.name,
            _flights(each, counted),
            Figure(median(medians_ms), "ms", 2),
            Figure(quantiles(warm[each].taken_ms, n=100)[98], "ms", 2),
            *(
                None if each in OURS else ratio(taken[mine], medians_ms, GOALS.get((mine, each)))
                for mine in MEASURED
            ),
        )
    section.notes = [
        "Timed around the handler in the environment, decorators included, one invocation after "
        f"the other, frozen in between. Through PgBouncer but for `direct`. {how_many} Flights are "
        "counted on the wire. The broker's readers are read-only in autocommit; SQLAlchemy on "
        "pg8000 has a transaction, since its autocommit gets other clients' rows there.",
    ]
    return section


def _flights(each: Variant, counted: dict[Variant, Warm]) -> Figure | Ratio:
    """Return the flights of an invocation; ours must not be more than anybody else's."""
    for one in counted.values():
        if not one.flights:
            one.round(WARM_UP)
    mine = median(counted[each].flights)
    fewest = min(median(one.flights) for other, one in counted.items() if other not in OURS)
    return Ratio(mine, most=fewest) if each in OURS else Figure(mine, "")
