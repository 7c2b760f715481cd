"""Sessions killed and the pooler restarted under load, at the same moments for each client."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, NamedTuple

from benchmarks.application import servers
from benchmarks.application.variants import OURS, PRELOAD, VARIANTS, Variant, Work, event, is_right
from benchmarks.figures import Figure, Ratio, Section
from benchmarks.stack import Stack
from broker.local.fleet import Fleet, Invocation

SEED = 300
AT_ONCE = 8  # invocations in flight
KILLS, RESTARTS = 12, 3
FAILED = {Work.WRITE: "failed writes", Work.READ: "failed reads"}


class Strike(Enum):
    """What is done to the servers."""

    KILL = "kill"  # every session of the application's role
    RESTART = "restart"  # of the pooler, as ECS would: open transactions may end


class Call(NamedTuple):
    """One invocation, and what is done just before it, while others are in flight."""

    work: Work
    event: dict[str, Any]
    strike: Strike | None


def script(invocations: int) -> list[Call]:
    """Draw what happens: the same for every client."""
    rng = Random(SEED)
    at = rng.sample(range(AT_ONCE, invocations), KILLS + RESTARTS)
    strikes = dict(zip(at, [Strike.KILL] * KILLS + [Strike.RESTART] * RESTARTS, strict=True))
    works = list(Work)
    return [Call(rng.choice(works), event(rng), strikes.get(n)) for n in range(invocations)]


@dataclass
class Outcome:
    """What became of it all."""

    failed: dict[Work, int] = field(default_factory=lambda: dict.fromkeys(Work, 0))
    errors: Counter[str] = field(default_factory=Counter)
    foreign: int = 0
    lost: int = 0
    """Acknowledged, and not there."""
    doubled: int = 0
    unbalanced: int = 0
    kept: int = 0
    """There, though the invocation failed: who asks again pays twice."""

    def take(self, call: Call, went: Invocation, paid: dict[str, int]) -> None:
        """Judge one invocation by what is in the table."""
        there = paid.get(call.event["token"], 0)
        self.doubled += there > 1
        if not went.ok:
            self.failed[call.work] += 1
            self.errors[went.error.error_type if went.error else str(went.status)] += 1
            self.kept += there > 0
            return
        self.foreign += not is_right(call.event, went.payload["answer"])
        self.lost += call.work is Work.WRITE and not there


def measure(stack: Stack, invocations: int, advance: Callable[[], object]) -> Section:
    """Play the script to each client."""
    calls = script(invocations)
    section = Section(
        "application",
        f"{invocations} invocations: {KILLS} times all sessions are killed, "
        f"{RESTARTS} times the pooler is restarted",
        ("client", *FAILED.values(), "foreign rows", "lost", "doubled", "out of balance"),
    )
    notes = []
    for each in VARIANTS:
        outcome = _play(stack, each, calls)
        advance()
        counts = (outcome.foreign, outcome.lost, outcome.doubled, outcome.unbalanced)
        section.add(
            each.name, *(_judged(each, count) for count in (*outcome.failed.values(), *counts))
        )
        if outcome.errors:
            named = ", ".join(f"{count} × {name}" for name, count in outcome.errors.most_common(4))
            notes.append(f"{each.name}: {named}; {outcome.kept} of them are in the table.")
    section.notes = [
        f"Payments and reads, {AT_ONCE} in flight, struck before the same ones for each client. "
        "The direct one has no pooler to restart. Nobody asks again but the broker: `db.retry` has "
        "its payments, on each of its faces, and its reads are read-only, so it sends them again.",
        *notes,
    ]
    return section


def _judged(each: Variant, count: int) -> Figure | Ratio:
    return Ratio(count, most=0) if each in OURS else Figure(count, "", 0)


def _play(stack: Stack, each: Variant, calls: list[Call]) -> Outcome:
    servers.begin_anew(stack)
    free = threading.Semaphore(AT_ONCE)
    submitted: list[Future[Invocation]] = []
    with Fleet(preload=PRELOAD) as fleet:
        functions = {work: each.function(work, each.port(stack)) for work in Work}
        for function in functions.values():
            fleet.deploy(function)
        for call in calls:
            if call.strike is Strike.KILL:
                servers.kill(stack)
            elif call.strike is Strike.RESTART and not each.direct:
                stack.pgbouncer.restart()
            free.acquire()
            submitted.append(fleet.submit(functions[call.work].name, call.event))
            submitted[-1].add_done_callback(lambda _: free.release())
        went = [future.result() for future in submitted]
    outcome, paid = Outcome(), servers.paid(stack)
    for call, one in zip(calls, went, strict=True):
        outcome.take(call, one, paid)
    outcome.unbalanced = servers.out_of_balance(stack)
    return outcome
