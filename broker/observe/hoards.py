"""Hoards: instances that hold more sessions than they use. Pools too large, and leaks."""

from __future__ import annotations

from collections.abc import Iterator

from broker.observe.application import Instance, grouped, instance, read_name
from broker.observe.backend import Backend
from broker.observe.finding import Finding, Kind, shown
from broker.observe.looked import Looked
from broker.observe.words import age, count

POOLS_REMEDY = (
    "Lower the pool of each instance to 5-8 sessions and let idle ones close after 10 s; where "
    "there are many instances, put PgBouncer or RDS Proxy in front."
)
LEAK_REMEDY = (
    "Return each session to its pool or close it (a `with` block); restart the worker to free "
    "them now. A limit of its own keeps a leak from taking everybody's places."
)


def leaks(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each instance whose sessions were used once, and pile up."""
    limits = looked.thresholds
    for where, sessions in grouped(looked.unpooled, instance).items():
        left = [b for b in sessions if _left(b, looked)]
        ages = sorted(b.connected_s or 0.0 for b in left)
        # A pool opens its sessions together; a leak opens one after the other, and goes on.
        if len(left) < limits.leaked or ages[0] > ages[-1] / 2:
            continue
        per_hour = len(left) / max(ages[-1] - ages[0], 1.0) * 3600
        yield Finding(
            Kind.LEAK,
            f"{where}: {count(len(left), 'session')} were used once and never again, "
            f"{per_hour:.1f} more each hour.",
            (
                f"the oldest has been idle for {age(max(b.state_s or 0.0 for b in left))}, "
                f"the youngest for {age(min(b.state_s or 0.0 for b in left))}",
                *shown([f"{b}: {b.shown_query}" for b in by_age(left)][:3]),
            ),
            LEAK_REMEDY,
            looked.limit_and_idle_timeout(where.owner.user, len(sessions)),
            len(left),
        )


def pools(looked: Looked) -> Iterator[Finding]:
    """Yield a finding where pools of a sane size would leave room."""
    limits = looked.thresholds
    held = {
        where: sessions
        for where, sessions in grouped(looked.unpooled, instance).items()
        if len(sessions) > limits.pool_most
    }
    freed = sum(_freed(sessions, limits.pool_most) for sessions in held.values())
    if not looked.pressed or not freed:
        return
    least = sum(_freed(sessions, limits.pool_least) for sessions in held.values())
    idle = sum(b.state == "idle" for sessions in held.values() for b in sessions)
    sessions = sum(map(len, held.values()))
    yield Finding(
        Kind.POOLS,
        f"{count(sessions, 'session')} of {count(len(held), 'instance')}, {idle} of them idle: "
        f"pools of {limits.pool_most} would free {freed}, of {limits.pool_least} {least}.",
        shown([_held(where, found, looked) for where, found in held.items()]),
        POOLS_REMEDY,
        (f"max: {limits.pool_most}, idleTimeoutMillis: 10_000  // node-postgres, as an example",),
        freed,
    )


def _left(backend: Backend, looked: Looked) -> bool:
    """Tell whether a session was used just after it was opened, and never again."""
    limits = looked.thresholds
    if backend.state != "idle" or backend.state_s is None or backend.connected_s is None:
        return False
    used_s = backend.connected_s - backend.state_s
    idle_for_long = backend.state_s >= limits.leaked_idle_s
    return idle_for_long and used_s <= limits.used_once_share * backend.connected_s


def _freed(sessions: list[Backend], size: int) -> int:
    idle = sum(b.state == "idle" for b in sessions)
    return max(0, min(idle, len(sessions) - size))


def _held(where: Instance, sessions: list[Backend], looked: Looked) -> str:
    limits = looked.thresholds
    idle = [b for b in sessions if b.state == "idle"]
    longest = max((b.state_s or 0.0 for b in idle), default=0.0)
    versions = {read_name(b.application).generation for b in sessions} - {None}
    version = f" ({', '.join(sorted(filter(None, versions)))})" if versions else ""
    return (
        f"{where}{version}: {count(len(sessions), 'session')}, {len(idle)} idle for up to "
        f"{age(longest)}; {limits.pool_most} would free {_freed(sessions, limits.pool_most)}, "
        f"{limits.pool_least} would free {_freed(sessions, limits.pool_least)}"
    )


def by_age(sessions: list[Backend]) -> list[Backend]:
    """Return the oldest first."""
    return sorted(sessions, key=lambda b: -(b.connected_s or 0.0))
