"""The load: invocations with steps of every kind, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from broker.local.fleet import Fleet, Invocation, InvocationStatus
from tests.chaos.ledger import Claim, Told

Event = dict[str, Any]
ROWS = {"transaction": 2, "run": 1, "retry": 2, "read": 0}
"""The kinds of steps, and how many rows each writes."""
LONGEST_WORK_S = 0.02  # of a statement: long enough for a fault to find it under way
LONGEST_PAUSE_S = 0.03  # between a transaction's statements


@dataclass(frozen=True)
class Step:
    """One step of an invocation, and what was said of it."""

    token: str
    kind: str
    told: Told
    error: str = ""

    def claim(self) -> Claim:
        """Return what it says of the ledger's rows."""
        rows = tuple(f"{self.token}/{n + 1}" for n in range(ROWS[self.kind]))
        return Claim(rows, self.told, self.error)


@dataclass(frozen=True)
class Outcome:
    """What became of one invocation."""

    invocation: Invocation
    steps: tuple[Step, ...]
    foreign: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()
    sessions: int = 0
    excused: bool = False
    """Whether a fault ended it, or made it late."""

    @classmethod
    def of(cls, event: Event, invocation: Invocation) -> Outcome:
        """Read what the handler reported; of what it did not, nothing was said."""
        report = invocation.payload if invocation.status is InvocationStatus.OK else {}
        told = report.get("told", {})
        return cls(
            invocation,
            tuple(
                _step(each, told.get(each["token"], [Told.UNREPORTED])) for each in event["steps"]
            ),
            tuple(report.get("foreign", ())),
            tuple(report.get("raw", ())),
            report.get("sessions", 0),
            excused="hang_s" in event,
        )

    def excusing(self, environments: Container[str]) -> Outcome:
        """Return it as excused where it was served by one of these."""
        excused = self.excused or (self.invocation.environment or "") in environments
        return replace(self, excused=excused)

    @property
    def told(self) -> Told:
        """The worst that was said of a step."""
        worst = (Told.UNREPORTED, Told.UNKNOWN, Told.REFUSED)
        said = {step.told for step in self.steps}
        return next((told for told in worst if told in said), Told.ACKNOWLEDGED)


def _step(asked: dict[str, Any], told: Sequence[Any]) -> Step:
    return Step(
        asked["token"], asked["kind"], Told(told[0]), " ".join(str(word) for word in told[1:])
    )


def event(prefix: str, rng: Random) -> Event:
    """Return an event with a step of each kind, in any order, each with a token of its own."""
    kinds = list(ROWS)
    rng.shuffle(kinds)
    return {
        "steps": [
            {
                "token": f"{prefix}.{number}",
                "kind": kind,
                "work_s": rng.choice((0.0, rng.uniform(0, LONGEST_WORK_S))),
                "pause_s": rng.choice((0.0, rng.uniform(0, LONGEST_PAUSE_S))),
            }
            for number, kind in enumerate(kinds)
        ]
    }


class Load:
    """Invokes functions from as many threads as there shall be environments of each."""

    def __init__(self, fleet: Fleet, clients: dict[str, int]) -> None:
        self._fleet = fleet
        self._clients = [name for name, count in clients.items() for _ in range(count)]
        self._threads = ThreadPoolExecutor(len(self._clients), "client")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown()

    @property
    def clients(self) -> int:
        """How many invocations are under way at once."""
        return len(self._clients)

    def run(self, events: Iterator[Event]) -> list[Outcome]:
        """Have them all handled, in any order."""
        lock = threading.Lock()

        def client(name: str) -> list[Outcome]:
            mine: list[Outcome] = []
            while True:
                with lock:
                    this = next(events, None)
                if this is None:
                    return mine
                mine.append(Outcome.of(this, self._fleet.invoke(name, this)))

        futures = [self._threads.submit(client, name) for name in self._clients]
        return [outcome for future in futures for outcome in future.result()]

    def burst(self, make: Callable[[], Event]) -> list[Outcome]:
        """Have every client invoke once, all at the same time, and wait for all of them."""
        pending = []
        for name in self._clients:
            this = make()
            pending.append((this, self._fleet.submit(name, this)))
        return [Outcome.of(this, future.result()) for this, future in pending]
