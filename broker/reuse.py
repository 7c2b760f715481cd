"""May this idle session be used again? A verdict with its reason and its numbers. Pure."""

from __future__ import annotations

import random
from enum import Enum
from typing import NamedTuple

from broker.deadline import Instant

LIFETIME_JITTER = 0.1  # of the lifetime: sessions opened in one burst must not end in one


class Action(Enum):
    """What to do with an idle session that somebody wants."""

    USE = "use"
    LOOK = "look"
    """Look at its socket, which costs no round trip, and use it unless the server ended it."""
    PROBE = "probe"
    """Ask the server for a sign of life, one round trip that is bounded, and use it if it comes."""
    RETIRE = "retire"


class Reason(Enum):
    """Why a session was used or retired: in log fields and as the metrics' dimension."""

    FRESH = "fresh"
    SETTLED = "settled"
    """Idle for a moment: the server may have ended it meanwhile."""
    RESTED = "rested"
    """Idle for long: the way to the server may be gone, with nobody left to say so."""
    UNANSWERED = "unanswered"
    """It gave no sign of life when it was asked for one."""
    IDLE_TOO_LONG = "idle_too_long"
    LIFETIME_OVER = "lifetime_over"
    ENDED_BY_SERVER = "ended_by_server"
    INTERRUPTED = "interrupted"
    """An answer was not read to its end, so what comes next could be another's."""
    LEAKED = "leaked"
    """The invocation ended while it was checked out."""
    EXCLUSIVE = "exclusive"
    """It was lent out with db.session(), and nobody knows what was done with it."""
    READ_ONLY = "read_only"
    """The server refused a write (25006): after a failover it is the writer no longer."""
    LEASE_LOST = "lease_lost"
    """Its place under the fleet-wide cap is another's by now, or cannot be confirmed."""
    SNAPSHOT = "snapshot"
    """A snapshot of the environment was taken, whose copies must not share it."""
    CLOSED = "closed"
    """The broker was closed."""


class Verdict(NamedTuple):
    """What to do, why, and the seconds that decided it."""

    action: Action
    reason: Reason
    seconds: float
    limit_s: float


class Policy(NamedTuple):
    """For how long a session may be trusted. All in seconds.

    `idle_timeout_s` must stay below every idle limit on the way: NLB's 350 s, the pooler's and
    the server's. A session may be half-open, which no look can tell: `probe_s` is from when on it
    is asked.
    """

    fresh_s: float
    probe_s: float
    idle_timeout_s: float
    lifetime_s: float


def judge(now: Instant, last_used: Instant, ends_s: float, age_s: float, policy: Policy) -> Verdict:
    """Return the verdict on a session last used then, of this age, with a life of `ends_s`."""
    idle_s = now.since(last_used)
    if age_s > ends_s:
        return Verdict(Action.RETIRE, Reason.LIFETIME_OVER, age_s, ends_s)
    if idle_s > policy.idle_timeout_s:
        return Verdict(Action.RETIRE, Reason.IDLE_TOO_LONG, idle_s, policy.idle_timeout_s)
    if idle_s > policy.probe_s:
        return Verdict(Action.PROBE, Reason.RESTED, idle_s, policy.probe_s)
    if idle_s > policy.fresh_s:
        return Verdict(Action.LOOK, Reason.SETTLED, idle_s, policy.fresh_s)
    return Verdict(Action.USE, Reason.FRESH, idle_s, policy.fresh_s)


def lifetime_s(policy: Policy, rng: random.Random) -> float:
    """Return how long a new session may live: the policy's time, give or take the jitter."""
    return policy.lifetime_s * rng.uniform(1 - LIFETIME_JITTER, 1 + LIFETIME_JITTER)
