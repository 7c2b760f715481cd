"""A fault: something that happens to the world while it works, and what must not come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.load import ROWS, Event
from tests.chaos.world import World

ALL = frozenset(ROWS)
TRANSACTIONS = frozenset({"transaction", "retry"})


def _nothing(world: World, rng: Random) -> int:
    return 0


def _as_it_is(event: Event, rng: Random) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`strike` does it and returns how often it hit something; so does `bend`, to an event.

    What holds under every fault (nothing lost, doubled, foreign, late or leaked) is not said
    here; what this one must also leave alone is.
    """

    name: str
    strike: Callable[[World, Random], int] = _nothing
    bend: Callable[[Event, Random], int] = _as_it_is
    gap_s: float = 0.05
    """Between two strikes."""
    at_rest: bool = False
    """Struck between bursts, when no invocation is under way."""
    survives: frozenset[str] = frozenset()
    """Kinds of steps that nobody may see it in, when it comes alone."""
    resolves: frozenset[str] = frozenset()
    """Kinds of steps whose outcome must be known, when it comes alone."""
    prompt: bool = False
    """Running into the deadline counts as seeing it."""
    strikes: int = 3
    """A round goes on until it was hit so often, however few the invocations."""
    weight: float = 1.0
    """Its share of the invocations: less where each strike takes seconds."""
