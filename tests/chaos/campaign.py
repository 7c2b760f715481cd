"""A campaign: rounds of invocations under faults, each followed by an inspection."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.chaos import inspection
from tests.chaos.fault import Fault
from tests.chaos.inspection import Baseline, Breach, Finding
from tests.chaos.ledger import Told
from tests.chaos.load import Event, Outcome, event
from tests.chaos.plan import CALM, Round
from tests.chaos.world import World

# What is raised when no time is left. On a machine that stands still that says nothing.
_OUT_OF_TIME = (
    "DeadlineExceeded",
    "OutcomeUnknownAtDeadline",
    "CheckoutTimeout",
    "ServerUnavailable",
    "TooManyConnections",
)
_LOOKED_UP = "OutcomeUnknownAtDeadline lookup"  # the answer should have come long before
LONGEST_ROUND_S = 15.0  # to wait for a fault that finds nothing to hit
JOIN_S = 60.0


@dataclass
class Result:
    """What came of one round."""

    round: Round
    injected: dict[str, int]
    """How often each fault hit something."""
    outcomes: list[Outcome] = field(repr=False)
    findings: list[Finding]
    troubles: list[str]
    """Strikes that failed themselves: a server to be killed was not there, say."""


class Campaign:
    """Runs rounds in one world, and never stops at a finding."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._baseline = Baseline()
        self.results: list[Result] = []

    def run(self, this: Round) -> Result:
        """Run one round, heal the world, and inspect it."""
        world = self._world
        world.excused.clear()
        injected = dict.fromkeys((fault.name for fault in this.faults), 0)
        rng = Random(f"{self._seed}-{this.number}")
        troubles: list[str] = []
        if any(fault.at_rest for fault in this.faults):
            outcomes = self._in_bursts(this, rng, injected, troubles)
        else:
            outcomes = self._under_fire(this, rng, injected, troubles)
        world.heal()
        outcomes = [one.excusing(world.excused) for one in outcomes]
        findings = self._inspect(this, outcomes)
        result = Result(this, injected, outcomes, findings, troubles)
        self.results.append(result)
        return result

    def settle(self) -> list[Finding]:
        """Compare the whole ledger with all that was said: nothing may have come afterwards."""
        outcomes = [one for result in self.results for one in result.outcomes]
        return inspection.of_ledger(self._world, outcomes, "")

    def _events(self, this: Round, count: int, injected: dict[str, int]) -> Iterator[Event]:
        over_s = time.monotonic() + LONGEST_ROUND_S
        for number in itertools.count():
            missed = any(
                injected[fault.name] < (this.strikes or fault.strikes)
                for fault in this.faults
                if fault is not CALM
            )
            if number >= count and (not missed or time.monotonic() > over_s):
                return
            token = f"{this.prefix}{number:05}"
            rng = Random(f"{self._seed}-{token}")
            made = event(token, rng)
            for fault in this.faults:
                injected[fault.name] += fault.bend(made, rng)
            yield made

    def _under_fire(
        self, this: Round, rng: Random, injected: dict[str, int], troubles: list[str]
    ) -> list[Outcome]:
        over = threading.Event()
        gunners = [
            threading.Thread(
                target=self._fire, args=(fault, Random(rng.random()), over, injected, troubles)
            )
            for fault in this.faults
        ]
        for gunner in gunners:
            gunner.start()
        try:
            return self._world.load.run(self._events(this, this.invocations, injected))
        finally:
            over.set()
            for gunner in gunners:
                gunner.join(JOIN_S)

    def _fire(
        self,
        fault: Fault,
        rng: Random,
        over: threading.Event,
        injected: dict[str, int],
        troubles: list[str],
    ) -> None:
        while not over.wait(fault.gap_s * rng.uniform(0.5, 1.5)):
            self._strike(fault, rng, injected, troubles)

    def _strike(
        self, fault: Fault, rng: Random, injected: dict[str, int], troubles: list[str]
    ) -> None:
        try:
            injected[fault.name] += int(fault.strike(self._world, rng))
        except Exception as error:  # another fault was there first
            troubles.append(f"{fault.name}: {error!r}")

    def _in_bursts(
        self, this: Round, rng: Random, injected: dict[str, int], troubles: list[str]
    ) -> list[Outcome]:
        load = self._world.load
        bursts = max(2, -(-this.invocations // load.clients))
        events = self._events(this, bursts * load.clients, injected)
        outcomes = load.burst(lambda: next(events))
        for _ in range(bursts - 1):
            for fault in this.faults:
                self._strike(fault, rng, injected, troubles)
            outcomes += load.burst(lambda: next(events))
        return outcomes

    def _inspect(self, this: Round, outcomes: list[Outcome]) -> list[Finding]:
        world = self._world
        findings = [
            *inspection.of_outcomes(outcomes),
            *inspection.of_servers(world),
            *inspection.of_ledger(world, outcomes, this.prefix),
        ]
        if this.faults == (CALM,):
            self._baseline.learn(list(inspection.vitals_of(world).values()))
        else:
            findings += inspection.of_environments(world, self._baseline)
        if len(this.faults) == 1:
            findings += _seen(this.faults[0], outcomes)
        return findings


def _seen(fault: Fault, outcomes: Sequence[Outcome]) -> list[Finding]:
    """Judge what this fault let through, where it should have been dealt with out of sight."""
    found = []
    for step in (step for one in outcomes if not one.excused for step in one.steps):
        late = step.error.startswith(_OUT_OF_TIME) and not step.error.startswith(_LOOKED_UP)
        if late and not fault.prompt:
            continue
        said = f"{step.kind} {step.token}: {step.told} {step.error}"
        if step.kind in fault.survives and step.told is not Told.ACKNOWLEDGED:
            found.append(Finding(Breach.SEEN, said))
        elif step.kind in fault.resolves and step.told is Told.UNKNOWN:
            found.append(Finding(Breach.UNRESOLVED, said))
    return found


Progress = Callable[[Result], None]


def run(
    world: World, seed: int, rounds: Sequence[Round], progress: Progress = lambda _: None
) -> Campaign:
    """Run the rounds one after another; look at the whole ledger at the end."""
    campaign = Campaign(world, seed)
    for each in rounds:
        progress(campaign.run(each))
    campaign.results[-1].findings.extend(campaign.settle())
    return campaign
