"""What must be so at rest, whatever happened before: in the ledger, the servers, the processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from broker.local.fleet import EnvironmentInfo, InvocationStatus
from tests.chaos.ledger import Wrong, disagreements
from tests.chaos.load import Outcome
from tests.chaos.vitals import AVAILABLE, Vitals, sockets, vitals
from tests.chaos.world import DIRECT, POOL_SIZE, POOLED, RESERVE_SIZE, World
from tests.wait import wait_until

SETTLES_WITHIN_S = 15.0  # servers notice the end of a connection soon, and on a busy machine late


class Breach(StrEnum):
    """The promises that can be broken, beside those of the ledger."""

    FOREIGN = "another client's row"
    RAW = "an error that is not the library's"
    LATE = "past its deadline"
    CRASHED = "an environment crashed"
    RAISED = "the handler's decorator raised"
    OPEN = "a transaction left open"
    TOO_MANY = "sessions above the limit"
    LEAKED = "a descriptor or thread left over"
    SEEN = "a fault that nobody may see"
    UNRESOLVED = "an outcome that could be known"


class Finding(NamedTuple):
    """One promise that was broken, and how."""

    what: Breach | Wrong
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}"


class Baseline:
    """What a healthy environment holds beside its sessions: the most that calm ones were seen with.

    An environment has some descriptors and threads of the runtime's own.
    """

    def __init__(self) -> None:
        self.threads = 0
        self.descriptors = 0

    def learn(self, seen: Sequence[Vitals]) -> None:
        """Take these as healthy."""
        self.threads = max([self.threads, *(one.threads for one in seen)])
        self.descriptors = max([self.descriptors, *(one.descriptors for one in seen)])


def of_ledger(world: World, outcomes: Sequence[Outcome], prefix: str) -> list[Finding]:
    """Compare what was said of the writes with this prefix to what is there."""
    claims = [step.claim() for each in outcomes for step in each.steps if step.kind != "read"]
    return [Finding(one.wrong, str(one)) for one in disagreements(claims, world.rows(prefix))]


def of_outcomes(outcomes: Sequence[Outcome]) -> list[Finding]:
    """Judge what each invocation reported."""
    found = []
    for one in outcomes:
        found += [Finding(Breach.FOREIGN, text) for text in one.foreign]
        found += [Finding(Breach.RAW, text) for text in one.raw]
        if one.sessions > 1:
            found.append(Finding(Breach.TOO_MANY, f"{one.steps[0].token} saw {one.sessions}"))
        breach = _BREACHES.get(one.invocation.status)
        if breach and not one.excused:
            error = one.invocation.error
            found.append(Finding(breach, f"{one.steps[0].token}: {error and error.message}"))
    return found


_BREACHES = {
    InvocationStatus.TIMEOUT: Breach.LATE,
    InvocationStatus.CRASHED: Breach.CRASHED,
    InvocationStatus.ERROR: Breach.RAISED,
    InvocationStatus.THROTTLED: Breach.RAISED,
}


def of_servers(world: World) -> list[Finding]:
    """Look for transactions that nobody works on, and for more sessions than there may be."""
    alive = len(world.fleet.environments(DIRECT))
    limits = {POOLED: POOL_SIZE + RESERVE_SIZE, DIRECT: alive}

    def many() -> list[str]:
        roles = [role for _, role, _ in world.backends("true")]
        return [
            f"{roles.count(role)} of {role}, of which there may be {limit}"
            for role, limit in limits.items()
            if roles.count(role) > limit
        ]

    return [
        *_stays(Breach.OPEN, lambda: [str(one) for one in world.backends("state <> 'idle'")]),
        *_stays(Breach.TOO_MANY, many),
    ]


def _stays(breach: Breach, look: Callable[[], list[str]]) -> list[Finding]:
    try:
        wait_until(lambda: not look(), breach, SETTLES_WITHIN_S)
    except AssertionError:
        return [Finding(breach, "; ".join(look()))]
    return []


def vitals_of(world: World) -> dict[str, Vitals]:
    """Return what every environment holds, by its id; nothing where there is no /proc."""
    if not AVAILABLE:
        return {}
    known, ports = sockets(), [hop.port for hop in world.hops]
    alive: list[EnvironmentInfo] = world.environments()
    return {one.id: vitals(one.pid, ports, known) for one in alive if one.pid}


def of_environments(world: World, baseline: Baseline) -> list[Finding]:
    """Look for what an environment at rest holds beyond what it needs."""
    found = []
    for name, seen in vitals_of(world).items():
        if seen.sessions > 1:
            found.append(Finding(Breach.TOO_MANY, f"{name} holds {seen.sessions} sessions"))
        if seen.threads > baseline.threads or seen.descriptors > baseline.descriptors:
            healthy = f"{baseline.threads} and {baseline.descriptors} are healthy"
            numbers = f"{seen.threads} threads and {seen.descriptors} descriptors"
            found.append(Finding(Breach.LEAKED, f"{name} holds {numbers}; {healthy}"))
    return found
