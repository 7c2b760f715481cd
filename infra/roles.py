"""Roles: what the provisioner makes on the server, with the plan's numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.plan import BadDeployment, Plan
from broker.plan.drift import ROLE_TIMEOUTS

REAPER_SESSIONS = 1  # it looks, ends and leaves; the rest of the monitor's reserve is the monitor's
NAME_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL cuts off what is longer
DIGITS = 8  # of a hash: two stacks whose readable parts are alike are still two


@dataclass(frozen=True, slots=True)
class Watchers:
    """The roles of one broker's monitor and reaper: no other broker's on the same server."""

    monitor: str
    reaper: str

    @classmethod
    def of(cls, broker: str, *, monitor: str | None = None, reaper: str | None = None) -> Watchers:
        """Return those of a broker, by its stack's name and its path in that; or those given."""
        return cls(monitor or _own_name("monitor", broker), reaper or _own_name("reaper", broker))


def _own_name(watcher: str, broker: str) -> str:
    """Return broker_monitor_STACK_HASH, the same at each synthesis, and never too long."""
    stack = re.sub(r"[^a-z0-9]+", "_", broker.partition("/")[0].lower())
    told = hashlib.sha256(broker.encode()).hexdigest()[:DIGITS]
    return f"{f'broker_{watcher}_{stack}'[: NAME_BYTES - DIGITS - 1]}_{told}"


def roles(plan: Plan, watchers: Watchers, secret_arns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the roles; a user that has no secret shows who it is with IAM."""
    settings = {name: f"{plan.whole(name)}s" for name in ROLE_TIMEOUTS}
    pairs = sorted(plan.deployment.middle.pairs)
    _refuse_twice([pair.user for pair in pairs], watchers, plan.deployment.file)
    applications = [
        _role(
            pair.user,
            "app",
            pair.database,
            plan.whole(f"connection_limit.{pair.user}"),
            settings,
            secret_arns.get(pair.user),
        )
        for pair in pairs
    ]
    kept = plan.whole("reserved.monitor") - REAPER_SESSIONS
    bounds = {
        "monitor": (watchers.monitor, max(1, kept)),
        "reaper": (watchers.reaper, REAPER_SESSIONS),
    }
    return applications + [
        _role(name, kind, watched_database(plan), limit, settings, secret_arns.get(name))
        for kind, (name, limit) in bounds.items()
    ]


def _refuse_twice(users: list[str], watchers: Watchers, file: str) -> None:
    for user in users:
        if users.count(user) > 1:
            raise BadDeployment(
                f"{file}: broker.pairs: {user} is in two databases, and a role is granted one: "
                "give each database a user of its own"
            )
    named = {"monitor": watchers.monitor, "reaper": watchers.reaper}
    for watcher, name in named.items():
        if name in users or list(named.values()).count(name) > 1:
            raise BadDeployment(
                f"{file}: deploy.{watcher}.role: {name} is another's already: monitor, reaper and "
                "each user need a role of their own"
            )


def watched_database(plan: Plan) -> str:
    """Return the database that monitor and reaper log in to; they see all sessions from it."""
    return min(plan.deployment.middle.pairs).database


def databases(plan: Plan) -> list[str]:
    """Return the databases that must be there."""
    return sorted({pair.database for pair in plan.deployment.middle.pairs})


def _role(
    name: str, kind: str, database: str, limit: int, settings: dict[str, str], arn: str | None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "database": database,
        "connection_limit": limit,
        "settings": settings,
        "secret_arn": arn,
    }
