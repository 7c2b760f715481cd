"""Finding: one thing that is wrong, with what shows it and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

SHOWN = 6  # lines of evidence before "and … more"


class Rank(Enum):
    """Which findings come first, whatever their numbers."""

    REFUSAL = 0
    """We were refused ourselves: nothing else can be known."""
    LIMIT = 1
    """A limit that refuses somebody now."""
    CAUSE = 2
    """What takes the places; the one that takes most comes first."""
    SYMPTOM = 3
    """What follows from a cause."""
    RISK = 4
    """What will refuse somebody one day."""


class Kind(Enum):
    """What can be found: the name in --json and in metrics, its rank, and its title."""

    REFUSED = "refused", Rank.REFUSAL, "The doctor itself was refused"
    ROLE_LIMIT = "role_limit", Rank.LIMIT, "A role's CONNECTION LIMIT is reached"
    DATABASE_LIMIT = "database_limit", Rank.LIMIT, "A database's CONNECTION LIMIT is reached"
    POOLER_LOGIN = "pooler_login", Rank.LIMIT, "PgBouncer cannot open server sessions"
    POOLER_CLIENTS = "pooler_clients", Rank.LIMIT, "PgBouncer has no place for more clients"
    UNSEEN = "unseen", Rank.LIMIT, "Few sessions are seen, and still 53300"
    WALSENDERS = "walsenders", Rank.LIMIT, "Every place for replication is taken"
    SERVERLESS = "serverless_without_pooler", Rank.CAUSE, "Serverless without a pooler"
    BYPASS = "pooler_bypassed", Rank.CAUSE, "The pooler is sized, and still the server is full"
    GENERATIONS = "two_generations", Rank.CAUSE, "Two generations of one application"
    LEAK = "leaking_worker", Rank.CAUSE, "A worker leaks sessions"
    POOLS = "pools_too_large", Rank.CAUSE, "Pools are too large, in aggregate"
    IDLE_IN_TRANSACTION = "idle_in_transaction", Rank.CAUSE, "Sessions idle in transaction"
    LONG_TRANSACTION = "long_transaction", Rank.CAUSE, "Long transactions"
    BLOCKED = "blocked", Rank.CAUSE, "Sessions wait for a lock that one of them holds"
    POOL_TOO_SMALL = "pool_too_small", Rank.CAUSE, "A pool of PgBouncer's is smaller than its load"
    PREPARED = "prepared_transaction", Rank.CAUSE, "Prepared transactions were left behind"
    HIDDEN = "hidden_sessions", Rank.SYMPTOM, "Most sessions cannot be seen by this role"
    FULL = "full", Rank.SYMPTOM, "The server is full"
    NEARLY_FULL = "nearly_full", Rank.SYMPTOM, "The server is nearly full"
    POOLER_LIMITS = "pooler_limits", Rank.RISK, "PgBouncer's limits do not fit the server"
    MEMORY = "memory", Rank.RISK, "max_connections is more than memory allows"

    rank: Rank
    title: str

    def __new__(cls, name: str, rank: Rank, title: str) -> Kind:
        """Let the name be the value."""
        kind = object.__new__(cls)
        kind._value_ = name
        kind.rank = rank
        kind.title = title
        return kind


@dataclass(frozen=True, slots=True)
class Finding:
    """`sentence` says it with its numbers, `apply` are the statements or settings that mend it.

    `sessions` is how many it accounts for.
    """

    kind: Kind
    sentence: str
    evidence: tuple[str, ...]
    remedy: str
    apply: tuple[str, ...] = ()
    sessions: int = 0

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "kind": self.kind.value,
            "title": self.kind.title,
            "sentence": self.sentence,
            "sessions": self.sessions,
            "evidence": list(self.evidence),
            "remedy": self.remedy,
            "apply": list(self.apply),
        }


def shown(lines: list[str], what: str = "more") -> tuple[str, ...]:
    """Return the first lines, and how many were left out."""
    left_out = len(lines) - SHOWN
    return tuple(lines) if left_out <= 0 else (*lines[:SHOWN], f"and {left_out} {what}")


def identifier(name: str) -> str:
    """Return the name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as SQL quotes it."""
    return "'" + text.replace("'", "''") + "'"
