"""Sessions that can exist at the worst moment, summed over everybody who can open one."""

from __future__ import annotations

import math

from broker.plan.deployment import Application, Deployment, Engine, Kind, Reserve
from broker.plan.draft import Draft, Limit

ALARM_SHARE = 0.8  # the reference: alarm on numbackends / max_connections > 0.8

# Kept for everybody's sake; a [[reserved]] of the same name takes the place of one.
OWN_RESERVES = (
    Reserve("superuser", 3, "superuser_reserved_connections: PostgreSQL's default"),
    Reserve("monitor", 2, "the broker's monitor and reaper must get in when all is full"),
    Reserve("migrations", 1, "a schema change runs while everything else does"),
    Reserve("people", 2, "somebody looks what is wrong, and somebody helps"),
)
RDS_RESERVE = Reserve("rds", 2, "reserved_connections, or rds.rds_superuser_reserved_connections")
AURORA_RESERVE = Reserve("aws", 3, "Aurora's own automation")


def reserves(deployment: Deployment) -> tuple[Reserve, ...]:
    """Return who has sessions kept for them, the deployment's word over the usual."""
    usual = list(OWN_RESERVES)
    if deployment.database.engine is not Engine.POSTGRESQL:
        usual.insert(1, RDS_RESERVE)
    if deployment.database.engine is Engine.AURORA:
        usual.insert(2, AURORA_RESERVE)
    return tuple(({r.name: r for r in usual} | {r.name: r for r in deployment.reserves}).values())


def held_at_worst(application: Application) -> int:
    """Return the sessions, or behind a pooler the clients, that old and new versions hold."""
    environments = math.ceil(application.environments * application.overlap)
    return environments * application.processes * application.sessions


def factors(application: Application) -> str:
    """Return what `held_at_worst` multiplies, as people read it."""
    counts = [str(application.environments), f"{application.overlap:g}"]
    if application.processes > 1:
        counts.append(f"{application.processes} processes")
    return " × ".join([*counts, str(application.sessions)])


def add_reserves(draft: Draft, deployment: Deployment) -> None:
    """Write down max_connections, the reserves and the budget that they leave."""
    numbers, database = draft.numbers, deployment.database
    limit = numbers.whole(
        "max_connections",
        database.max_connections,
        "sessions",
        database.max_connections_how,
        source="AWS' formula or list; `broker plan --check` compares it with the server",
    )
    kept = reserves(deployment)
    for reserve in kept:
        numbers.whole(f"reserved.{reserve.name}", reserve.sessions, "sessions", reserve.reason)
    names = [f"reserved.{reserve.name}" for reserve in kept]
    total = numbers.whole(
        "reserved",
        sum(reserve.sessions for reserve in kept),
        "sessions",
        " + ".join(f"{reserve.sessions} {reserve.name}" for reserve in kept),
        *names,
    )
    numbers.whole(
        "budget",
        limit - total,
        "sessions",
        f"max_connections {limit} - reserved {total}",
        "max_connections",
        "reserved",
    )
    numbers.whole(
        "alarm_sessions",
        max(1, math.floor(ALARM_SHARE * limit)),
        "sessions",
        f"alarm above {ALARM_SHARE} × max_connections {limit}",
        "max_connections",
        source="the reference: numbackends / max_connections > 0.8",
    )


def add_held(draft: Draft, deployment: Deployment, unit: str) -> int:
    """Write down what each application holds at the worst moment; return the sum."""
    total = 0
    for application in deployment.applications:
        what = "concurrency" if application.kind is Kind.FUNCTION else "instances"
        processes = f"× {application.processes} processes " if application.processes > 1 else ""
        total += draft.numbers.whole(
            f"held.{application.name}",
            held_at_worst(application),
            unit,
            f"{what} {application.environments} × {application.overlap:g} versions in a rollout "
            f"{processes}× {application.sessions} each",
            source="frozen environments of the old version keep theirs open",
        )
    return total


def add_sum(draft: Draft, opened: int, how: str, *inputs: str) -> None:
    """Write down the worst moment; refuse it where it is more than max_connections."""
    numbers = draft.numbers
    limit, kept = int(numbers["max_connections"]), int(numbers["reserved"])
    worst = numbers.whole(
        "sessions_at_worst",
        opened + kept,
        "sessions",
        f"{how} = {opened}, + reserved {kept}",
        *inputs,
        "reserved",
    )
    if worst > limit:
        draft.refuse(
            Limit.SESSIONS,
            worst,
            limit,
            f"{worst:,} sessions at the worst moment ({how} = {opened:,}, and {kept} reserved), "
            f"but max_connections is {limit:,}: {worst - limit:,} too many",
        )
    numbers.whole(
        "spare",
        max(0, limit - worst),
        "sessions",
        f"max_connections {limit} - sessions_at_worst {worst}",
        "max_connections",
        "sessions_at_worst",
    )
