"""Draft: the numbers as far as they are worked out, and what does not fit among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from broker.plan.number import Ledger


class Limit(Enum):
    """What a deployment can run into."""

    SESSIONS = "sessions"
    POOL = "pool"
    ACTIVE = "active"
    MEMORY = "memory"
    WAITING = "waiting"
    CLIENTS = "clients"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True)
class Excess:
    """One limit that is exceeded: what is needed, what there is, and the sentence about it."""

    limit: Limit
    needed: float
    available: float
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(slots=True)
class Draft:
    """What every step writes to."""

    numbers: Ledger = field(default_factory=Ledger)
    excesses: list[Excess] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, limit: Limit, needed: float, available: float, sentence: str) -> None:
        """Write down that this limit is exceeded."""
        self.excesses.append(Excess(limit, needed, available, sentence))
