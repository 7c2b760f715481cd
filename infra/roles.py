"""Roles: what the provisioner makes on the server, with the plan's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.plan import BadDeployment, Plan
from broker.plan.drift import ROLE_TIMEOUTS

MONITOR = "broker_monitor"
REAPER = "broker_reaper"
REAPER_SESSIONS = 1  # it looks, ends and leaves; the rest of the monitor's reserve is the monitor's


def roles(plan: Plan, secret_arns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the roles; a user that has no secret shows who it is with IAM."""
    settings = {name: f"{plan.whole(name)}s" for name in ROLE_TIMEOUTS}
    pairs = sorted(plan.deployment.middle.pairs)
    users = [pair.user for pair in pairs]
    for user in users:
        if users.count(user) > 1:
            raise BadDeployment(
                f"{plan.deployment.file}: broker.pairs: {user} is in two databases, and a role is "
                "granted one: give each database a user of its own"
            )
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
    watchers = {"monitor": (MONITOR, max(1, kept)), "reaper": (REAPER, REAPER_SESSIONS)}
    return applications + [
        _role(name, kind, watched_database(plan), limit, settings, secret_arns.get(name))
        for kind, (name, limit) in watchers.items()
    ]


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
