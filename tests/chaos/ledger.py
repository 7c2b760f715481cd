"""What was said of each write, against what is in the table: lost, doubled, or neither. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Told(StrEnum):
    """What the library said of a write."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """A typed error that says that nothing was kept."""
    UNKNOWN = "unknown"
    UNREPORTED = "unreported"
    """Nothing: the environment did not live to say it."""


class Wrong(StrEnum):
    """How the table and what was said can disagree."""

    LOST = "lost"
    DOUBLED = "doubled"
    KEPT = "kept"
    """It is there, though an error said that nothing was kept."""
    TORN = "torn"
    """Half of a transaction is there."""
    STRAY = "stray"
    """Nobody wrote it."""


@dataclass(frozen=True)
class Claim:
    """What was said of one step's rows; they are one transaction."""

    rows: tuple[str, ...]
    told: Told
    error: str = ""


@dataclass(frozen=True)
class Disagreement:
    """One row, or one step's rows, with which something is wrong."""

    wrong: Wrong
    token: str
    told: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.token}, of which was said: {self.told}"


def disagreements(claims: Iterable[Claim], found: Counter[str]) -> list[Disagreement]:
    """Return everything in which the table is not what was said."""
    wrong, left = [], Counter(found)
    for claim in claims:
        counts = [left.pop(row, 0) for row in claim.rows]
        verdict = _judge(claim.told, counts)
        if verdict is not None:
            said = f"{claim.told} {claim.error}".rstrip()
            wrong.append(Disagreement(verdict, claim.rows[0], said))
    wrong += [Disagreement(Wrong.STRAY, token, "nothing") for token in left]
    return wrong


def _judge(told: Told, counts: list[int]) -> Wrong | None:
    if max(counts) > 1:
        return Wrong.DOUBLED
    if told is Told.ACKNOWLEDGED and min(counts) == 0:
        return Wrong.LOST
    if min(counts) != max(counts):
        return Wrong.TORN
    if told is Told.REFUSED and max(counts):
        return Wrong.KEPT
    return None
