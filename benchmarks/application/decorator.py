"""What `@db.handler` adds to a warm invocation."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from statistics import median

from benchmarks.application.variants import PRELOAD, event, function
from benchmarks.figures import Figure, Ratio, Section
from benchmarks.rounds import interleaved
from benchmarks.stack import Stack
from broker.local.fleet import Fleet

GOAL_US = 60.0
BARE, DECORATED = "", "_decorated"
HANDLERS = {"nothing": "nothing", "one db.run": "read"}
WARM_UP = 10


def measure(stack: Stack, rounds: int, invocations: int, advance: Callable[[], object]) -> Section:
    """Compare the same handlers with the decorator and without it."""
    section = Section(
        "application",
        "What @db.handler adds to a warm invocation",
        ("handler", "bare", "decorated", "decorated - bare, µs"),
    )
    names = [handler + how for handler in HANDLERS.values() for how in (BARE, DECORATED)]
    rng = Random(1)
    with Fleet(preload=PRELOAD) as fleet:
        functions = {}
        for name in names:
            deployed = function(f"decorated.{name}", stack.pgbouncer.port)
            fleet.deploy(deployed)
            functions[name] = deployed.name

        def round_of(name: str, times: int = invocations) -> float:
            told = [fleet.invoke(name, event(rng)).result() for _ in range(times)]
            return median(float(one["took_us"]) for one in told)

        for name in functions.values():
            round_of(name, WARM_UP)
        taken = interleaved(functions, rounds, round_of, advance)
    for words, handler in HANDLERS.items():
        bare, decorated = taken[handler + BARE], taken[handler + DECORATED]
        added = median(more - less for more, less in zip(decorated, bare, strict=True))
        goal = GOAL_US if handler == "nothing" else None
        section.add(
            words,
            Figure(median(bare), "µs"),
            Figure(median(decorated), "µs"),
            Ratio(added, most=goal),
        )
    section.notes = [
        "Deadline, attribution, leak check; and with a statement the metrics' line, which is "
        f"written to the log. {rounds} rounds of {invocations} each, frozen in between.",
    ]
    return section
