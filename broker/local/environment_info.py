"""What is to be seen of an execution environment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EnvironmentState(StrEnum):
    """Where an environment is in its life; IDLE and FROZEN differ by SIGSTOP alone."""

    INIT = "init"
    BUSY = "busy"
    IDLE = "idle"
    FROZEN = "frozen"
    DEAD = "dead"

    @property
    def at_rest(self) -> bool:
        """Say whether it serves nothing and could."""
        return self in (EnvironmentState.IDLE, EnvironmentState.FROZEN)


@dataclass(frozen=True, slots=True)
class EnvironmentInfo:
    """One environment at one moment; a `held` one gets no request until it is thawed."""

    id: str
    pid: int | None
    state: EnvironmentState
    version: str
    served: int
    held: bool
