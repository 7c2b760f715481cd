"""Where an invocation goes: an idle environment, a new one, or back to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ACCOUNT_CONCURRENCY = 1_000  # a new account's default quota per region


class Action(StrEnum):
    """What to do with an invocation."""

    REUSE = "reuse"
    START = "start"
    THROTTLE = "throttle"


class Reason(StrEnum):
    """Why; the throttling ones are the `Reason` of Lambda's TooManyRequestsException."""

    IDLE_ENVIRONMENT = "IdleEnvironment"
    NONE_IDLE = "NoneIdle"
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ACCOUNT = "ConcurrentInvocationLimitExceeded"


@dataclass(frozen=True, slots=True)
class Quota:
    """How many requests may be in flight, how many are, and what sets the limit."""

    in_flight: int
    limit: int
    exceeded: Reason


@dataclass(frozen=True, slots=True)
class Placement:
    """What to do with one invocation, and the numbers behind it."""

    action: Action
    reason: Reason
    quota: Quota


@dataclass(frozen=True, slots=True)
class Load:
    """One function's requests in flight, over all of its versions, and its reservation."""

    in_flight: int
    reserved: int | None = None


def quota(name: str, loads: Mapping[str, Load], account: int = ACCOUNT_CONCURRENCY) -> Quota:
    """Give the quota that the function `name` draws on: its reservation, or the shared rest."""
    own = loads[name]
    if own.reserved is not None:
        return Quota(own.in_flight, own.reserved, Reason.RESERVED)
    shared = account - sum(load.reserved or 0 for load in loads.values())
    in_flight = sum(load.in_flight for load in loads.values() if load.reserved is None)
    return Quota(in_flight, max(0, shared), Reason.ACCOUNT)


def place(quota: Quota, *, idle: int) -> Placement:
    """Decide for one invocation: throttle at the quota, else reuse, else start.

    Lambda counts requests in flight and never environments, so that idle ones of an older
    version do not keep a new one from starting: during a rollout both hold connections.
    """
    if quota.in_flight >= quota.limit:
        return Placement(Action.THROTTLE, quota.exceeded, quota)
    if idle:
        return Placement(Action.REUSE, Reason.IDLE_ENVIRONMENT, quota)
    return Placement(Action.START, Reason.NONE_IDLE, quota)
