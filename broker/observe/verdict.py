"""Verdict: which sessions the reaper ends, which it spares, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from broker.observe.backend import Backend
from broker.observe.snapshot import Snapshot

IDLE_S = 300.0  # the reference: idle in transaction for over 5 minutes
AT_MOST = 10  # a run; what is left is the next run's, and a wrong policy harms few


class Reason(Enum):
    """Why a session that idles in transaction is ended or spared."""

    END = "to_end"
    OWN = "own"
    NOT_A_CLIENT = "not_a_client"
    SUPERUSER = "superuser"
    EXCLUDED = "excluded"
    OTHER_APPLICATION = "other_application"
    OTHER_ROLE = "other_role"
    TOO_YOUNG = "too_young"
    OVER_THE_MOST = "over_the_most"
    ENDED = "ended"
    WOKE_UP = "woke_up"
    NOT_ALLOWED = "not_allowed"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may be ended: application and role must both match; `*` and `?` as in file names."""

    applications: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    """Applications and roles that never are."""
    idle_s: float = IDLE_S
    at_most: int = AT_MOST


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one session, and why."""

    backend: Backend
    reason: Reason
    request_id: str = ""
    """The invocation's whose statement was its last, where the broker wrote it behind that."""


def judge(now: Snapshot, policy: Policy) -> list[Verdict]:
    """Return a verdict on each session that idles in transaction, the longest idle first.

    Sessions whose state is hidden from us have none: they are left alone. So are our own, and
    those of another broker's monitor and reaper, whatever the policy matches.
    """
    supers = frozenset(role.name for role in now.roles if role.is_super)
    watchers = frozenset(role.name for role in now.roles if role.watches)
    idle = sorted(
        (b for b in now.backends if b.idles_in_transaction), key=lambda b: -(b.state_s or 0.0)
    )
    verdicts = []
    ending = 0
    for backend in idle:
        reason = (
            Reason.OWN
            if backend.pid == now.server.pid or backend.user in watchers
            else _reason(backend, supers, policy)
        )
        if reason is Reason.END:
            ending += 1
            reason = Reason.OVER_THE_MOST if ending > policy.at_most else reason
        verdicts.append(Verdict(backend, reason))
    return verdicts


def _reason(backend: Backend, supers: frozenset[str], policy: Policy) -> Reason:
    user, application = backend.user or "", backend.application
    if not backend.is_client or not user:
        return Reason.NOT_A_CLIENT
    if user in supers:
        return Reason.SUPERUSER
    if matches(application, policy.excluded) or matches(user, policy.excluded):
        return Reason.EXCLUDED
    if not matches(application, policy.applications):
        return Reason.OTHER_APPLICATION
    if not matches(user, policy.roles):
        return Reason.OTHER_ROLE
    if (backend.state_s or 0.0) <= policy.idle_s:
        return Reason.TOO_YOUNG
    return Reason.END


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of the patterns is this name's."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
