"""The plan of a campaign: its rounds, all drawn from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.fault import ALL, Fault
from tests.chaos.flights import FLIGHTS
from tests.chaos.lifecycle import LIFECYCLE
from tests.chaos.network import NETWORK
from tests.chaos.servers import SERVERS

FAULTS = (*NETWORK, *FLIGHTS, *SERVERS, *LIFECYCLE)
CALM = Fault(name="none", survives=ALL)
MIXED = 4  # faults at once, at the most


@dataclass(frozen=True)
class Round:
    """Some invocations, and the faults that come meanwhile."""

    number: int
    faults: tuple[Fault, ...]
    invocations: int
    strikes: int | None = None
    """How often each fault must have hit, where not as often as it says itself."""

    @property
    def name(self) -> str:
        """The faults' names."""
        return " + ".join(fault.name for fault in self.faults)

    @property
    def prefix(self) -> str:
        """What its tokens begin with."""
        return f"r{self.number:03}-"


def plan(seed: int, invocations: int, faults: Sequence[Fault] = FAULTS) -> list[Round]:
    """Return the rounds: a calm one, each fault alone, and then as many again of mixtures."""
    rng = Random(seed)
    alone = [(fault,) for fault in faults]
    restless = [fault for fault in faults if not fault.at_rest]
    mixed = [
        tuple(rng.sample(restless, min(len(restless), rng.randint(2, MIXED)))) for _ in restless
    ]
    chosen = [(CALM,), *alone, *(mixed if len(restless) > 1 else ())]
    weights = [min(fault.weight for fault in each) for each in chosen]
    share = invocations / sum(weights)
    return [
        Round(number, each, max(1, -int(-share * weight // 1)))
        for number, (each, weight) in enumerate(zip(chosen, weights, strict=True))
    ]


def brief(seed: int, invocations: int) -> list[Round]:
    """Return rounds in which every fault strikes once: alone where it has promises of its own."""
    rng = Random(seed)
    alone = [fault for fault in FAULTS if fault.at_rest or fault.survives or fault.resolves]
    others = [fault for fault in FAULTS if fault not in alone]
    rng.shuffle(others)
    together = [tuple(others[at : at + MIXED]) for at in range(0, len(others), MIXED)]
    chosen = [(CALM,), *((fault,) for fault in alone), *together]
    return [Round(number, each, invocations, strikes=1) for number, each in enumerate(chosen)]
