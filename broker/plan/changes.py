"""Changes to a deployment that may make it fit: levers, each pulled a little or all the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from broker.plan.concurrency import UNRESERVED_LEAST
from broker.plan.cpu import ACTIVE_MOST, ACTIVE_WELL
from broker.plan.deployment import Application, Deployment, Flavour, Kind
from broker.plan.memory import raise_costs
from broker.plan.quantity import show_bytes
from broker.plan.sessions import held_at_worst, reserves

MAX_CONNECTIONS_MOST = 262_143  # PostgreSQL's own
MORE_TASKS = 8
PERCENT = 100


@dataclass(frozen=True, slots=True)
class Change:
    """One change to broker.toml in a sentence with its numbers, and the deployment it makes."""

    sentence: str
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Lever:
    """What can be changed: `pull(deployment, step)`, from step 1 (mildest) to `steps`."""

    name: str
    steps: int
    pull: Callable[[Deployment, int], Change]


def levers(deployment: Deployment) -> list[Lever]:
    """Return what can be changed, in the reference's order: the pooler first, the limit last."""
    found = [*_of_the_pooler(deployment), *_of_the_applications(deployment)]
    database = deployment.database
    wanted = sum(held_at_worst(each) for each in deployment.applications) + _reserved(deployment)
    room = min(MAX_CONNECTIONS_MOST, 2 * wanted + 1000) - database.max_connections
    if room > 0:
        found.append(Lever("max_connections", room, _more_connections))
    return [lever for lever in found if lever.steps > 0]


def _of_the_pooler(deployment: Deployment) -> list[Lever]:
    middle = deployment.middle
    if middle.flavour is Flavour.DIRECT:
        found = [Lever("flavour", 1, _pooled)]
        functions = any(each.kind is Kind.FUNCTION for each in deployment.applications)
        if functions and _cap(deployment) > 0:
            found.append(Lever("cap", 1, _capped))
        return found
    found = [Lever("active_sessions", ACTIVE_MOST - (middle.active_sessions or 0), _active)]
    if (middle.active_sessions or 0) > ACTIVE_MOST:
        found = [Lever("active_sessions", 1, lambda d, _: _set(d, "active_sessions", ACTIVE_MOST))]
    if middle.flavour is Flavour.RDS_PROXY:
        return [*found, Lever("flavour", 1, _pooled)]
    if middle.pool_size is not None or middle.reserve_pool_size is not None:
        found.append(Lever("pool_size", 1, _planned_pools))
    return [
        *found,
        Lever("processes", middle.processes - 1, lambda d, step: _less(d, "processes", step)),
        Lever("tasks", middle.tasks - 1, lambda d, step: _less(d, "tasks", step)),
        Lever("tasks", MORE_TASKS, lambda d, step: _less(d, "tasks", -step)),
    ]


def _of_the_applications(deployment: Deployment) -> list[Lever]:
    applications = deployment.applications
    most = max((each.sessions for each in applications), default=1)
    functions = sum(each.environments for each in applications if each.kind is Kind.FUNCTION)
    found = [Lever("sessions", most - 1, lambda d, step: _fewer_sessions(d, most - step))]
    if functions + UNRESERVED_LEAST > deployment.account_concurrency:
        found.append(Lever("account", 1, _larger_account))
    if any(each.environments > 1 for each in applications):
        found.append(Lever("environments", PERCENT - 1, _fewer_environments))
    return found


def _reserved(deployment: Deployment) -> int:
    return sum(reserve.sessions for reserve in reserves(deployment))


def _cap(deployment: Deployment) -> int:
    services = (each for each in deployment.applications if each.kind is Kind.SERVICE)
    held = sum(held_at_worst(each) for each in services)
    return deployment.database.max_connections - _reserved(deployment) - held


def _set(deployment: Deployment, key: str, value: int) -> Change:
    before = getattr(deployment.middle, key)
    change: dict[str, Any] = {key: value}
    middle = replace(deployment.middle, **change)
    return Change(
        f"broker.{key} {'the default' if before is None else before} → {value}",
        replace(deployment, middle=middle),
    )


def _less(deployment: Deployment, key: str, by: int) -> Change:
    return _set(deployment, key, max(1, getattr(deployment.middle, key) - by))


def _active(deployment: Deployment, step: int) -> Change:
    """Count up from what is there, or from the default's least."""
    start = deployment.middle.active_sessions or ACTIVE_WELL
    return _set(deployment, "active_sessions", min(ACTIVE_MOST, start + step))


def _pooled(deployment: Deployment, _: int) -> Change:
    before = deployment.middle.flavour.value
    middle = replace(deployment.middle, flavour=Flavour.PGBOUNCER)
    return Change(
        f'broker.flavour "{before}" → "pgbouncer", {middle.tasks} tasks',
        replace(deployment, middle=middle),
    )


def _capped(deployment: Deployment, _: int) -> Change:
    cap = _cap(deployment)
    middle = replace(deployment.middle, cap=cap)
    return Change(
        f"broker.cap = {cap} for the whole fleet: who comes later waits, then CapReached",
        replace(deployment, middle=middle),
    )


def _planned_pools(deployment: Deployment, _: int) -> Change:
    middle = replace(deployment.middle, pool_size=None, reserve_pool_size=None)
    return Change(
        "leave out broker.pool_size and broker.reserve_pool_size, and let the plan decide",
        replace(deployment, middle=middle),
    )


def _fewer_sessions(deployment: Deployment, most: int) -> Change:
    larger = [each for each in deployment.applications if each.sessions > most]
    told = ", ".join(f"{each.name} {each.sessions} → {most}" for each in larger)
    return Change(
        f"sessions of {told}",
        _with(deployment, lambda each: replace(each, sessions=min(each.sessions, most))),
    )


def _fewer_environments(deployment: Deployment, step: int) -> Change:
    share = (PERCENT - step) / PERCENT

    def smaller(each: Application) -> Application:
        return replace(each, environments=max(1, math.floor(each.environments * share)))

    changed = _with(deployment, smaller)
    told = ", ".join(
        f"{before.name} {before.environments:,} → {after.environments:,}"
        for before, after in zip(deployment.applications, changed.applications, strict=True)
        if before != after
    )
    return Change(f"concurrency or instances of {told}", changed)


def _with(deployment: Deployment, change: Callable[[Application], Application]) -> Deployment:
    return replace(deployment, applications=tuple(map(change, deployment.applications)))


def _larger_account(deployment: Deployment, _: int) -> Change:
    applications = deployment.applications
    functions = sum(each.environments for each in applications if each.kind is Kind.FUNCTION)
    wanted = functions + UNRESERVED_LEAST
    return Change(
        f"account.concurrency {deployment.account_concurrency:,} → {wanted:,}, after AWS has "
        "raised the account's quota",
        replace(deployment, account_concurrency=wanted),
    )


def _more_connections(deployment: Deployment, step: int) -> Change:
    now = deployment.database.max_connections
    costs = show_bytes(raise_costs(deployment, now + step))
    unmeasured = "" if deployment.database.memory_bytes else ", which nobody has measured here"
    database = replace(
        deployment.database, max_connections=now + step, max_connections_how="raised"
    )
    return Change(
        f"database.max_connections {now:,} → {now + step:,}, which costs {costs} more memory"
        f"{unmeasured}",
        replace(deployment, database=database),
    )
