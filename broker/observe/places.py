"""Places: max_connections, what is reserved of it, and the limits of roles and databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from broker.observe.backend import WALSENDER
from broker.observe.finding import Finding, Kind, identifier, shown
from broker.observe.looked import Looked
from broker.observe.snapshot import Snapshot
from broker.observe.words import count
from broker.plan.deployment import CONNECTION_BYTES
from broker.plan.memory import SYSTEM_SHARE
from broker.plan.quantity import show_bytes

LIMIT_REMEDY = (
    "End what holds them (the other findings say who), or raise this limit, which is its own and "
    "not the server's, while the sum of all limits stays below max_connections."
)
FULL_REMEDY = (
    "Free places first (the other findings say whose), then put PgBouncer or RDS Proxy in front. "
    "Raising max_connections is the last resort: about 10 MB each, and a restart."
)
UNSEEN_REMEDY = (
    "See that this is the server that refuses the application (host, port, writer or replica), "
    "and look again with a role that has pg_monitor. Where it is, and few sessions are seen, those "
    "that have connected and not logged in hold the places: look for a storm of connects."
)
HIDDEN_REMEDY = "Look again with a role that may see everybody's sessions."
MEMORY_REMEDY = (
    "Lower max_connections to what memory holds, and let a pooler share those sessions; or take a "
    "larger machine. `broker measure` says what a session really costs here."
)
WALSENDER_REMEDY = (
    "End replication clients that are not needed, or raise max_wal_senders (it takes a restart). "
    "They take no place of max_connections since PostgreSQL 12."
)
STARTING = "starting"  # pg_stat_activity's state of one that logs in (PostgreSQL 18+)


def roles(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each role whose limit is reached; superusers have none.

    A monitor's or reaper's, ours or another broker's, is at its limit whenever it is there.
    """
    for role in looked.now.roles:
        if role.is_super or role.watches:
            continue
        if 0 < role.limit <= looked.now.by_role[role.name]:
            yield _limit(Kind.ROLE_LIMIT, "role", role.name, role.limit, looked)


def databases(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each database whose limit is reached."""
    for database in looked.now.databases:
        if 0 < database.limit <= looked.now.by_database[database.name]:
            yield _limit(Kind.DATABASE_LIMIT, "database", database.name, database.limit, looked)


def _limit(kind: Kind, what: str, name: str, limit: int, looked: Looked) -> Finding:
    now, by_role = looked.now, what == "role"
    mine = [b for b in now.others if (b.user if by_role else b.database) == name]
    others = Counter((b.database if by_role else b.user) or "?" for b in mine)
    states = Counter(b.state or "hidden" for b in mine)
    return Finding(
        kind,
        f"The {what} {name} has {len(mine)} of its {count(limit, 'session')}, while the server has "
        f"room for {now.room} more.",
        (
            f"by {'database' if by_role else 'role'}: {_listed(others)}",
            f"by state: {_listed(states)}",
        ),
        LIMIT_REMEDY,
        (f"alter {what} {identifier(name)} connection limit {limit + max(1, now.room // 2)};",),
        len(mine),
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common())


def full(looked: Looked) -> Iterator[Finding]:
    """Yield that the server is full, and what is left for whom; or that it nearly is."""
    now, server = looked.now, looked.now.server
    if not looked.pressed:
        return
    special = server.superuser_reserved + server.reserved
    how = f"max_connections {server.max_connections} - {special} reserved"
    held = f"{now.taken} sessions, and {how} = {server.ordinary_limit} for all."
    if now.room:
        yield Finding(
            Kind.NEARLY_FULL,
            f"{now.taken_share:.0%} of max_connections is in use: {held}",
            (f"{count(now.room, 'place')} left for ordinary roles",),
            FULL_REMEDY,
        )
        return
    left = server.max_connections - now.taken
    yield Finding(
        Kind.FULL,
        f"No place is left for ordinary roles, who get 53300: {held}",
        (
            f"{max(0, left)} of {special} reserved places left: "
            f"{max(0, left - server.superuser_reserved)} for pg_use_reserved_connections, "
            f"{max(0, min(left, server.superuser_reserved))} for superusers alone",
            f"who may use them: {_privileged(now)}",
        ),
        FULL_REMEDY,
    )


def _privileged(now: Snapshot) -> str:
    supers = [role.name for role in now.roles if role.is_super]
    others = [role.name for role in now.roles if role.may_use_reserved and not role.is_super]
    told = [f"superusers {', '.join(supers)}"] if supers else []
    if others:
        told.append(f"pg_use_reserved_connections {', '.join(others)}")
    return "; ".join(told) or "no role that logs in"


def unseen(looked: Looked) -> Iterator[Finding]:
    """Yield that we were refused though few sessions are seen, with everything that counts."""
    now = looked.now
    if not now.refusals or looked.pressed or looked.found(Kind.ROLE_LIMIT):
        return
    yield Finding(
        Kind.UNSEEN,
        f"53300 {count(now.refusals, 'time')} before we got in, and then only {now.taken} of "
        f"{now.server.max_connections} places were taken.",
        counted(now),
        UNSEEN_REMEDY,
    )


def counted(now: Snapshot) -> tuple[str, ...]:
    """Return what takes a place of max_connections and what does not, each with its number."""
    starting = sum(b.state == STARTING for b in now.others)
    rest = [b for b in now.backends if not b.is_client and b.backend_type != WALSENDER]
    workers = sum("worker" in (b.backend_type or "") for b in rest)
    server = now.server
    where = f"{server.address}:{server.port}" if server.address else "a Unix socket"
    return (
        f"{count(now.taken, 'session')}, {starting} of them logging in "
        "(before PostgreSQL 18 those are not shown), "
        f"{now.hidden} hidden from {server.user}",
        f"not counted: {count(len(now.walsenders), 'walsender')} of {server.max_wal_senders}, "
        f"{count(workers, 'autovacuum or background worker')}, "
        f"{count(len(now.prepared), 'prepared transaction')}",
        f"this server is {where}, {'a replica' if server.in_recovery else 'a writer'}: "
        "its places are its own, not another's",
    )


def hidden(looked: Looked) -> Iterator[Finding]:
    """Yield that places are short and the sessions' details are not shown to us."""
    now = looked.now
    if not looked.pressed or now.hidden * 2 <= now.taken:
        return
    yield Finding(
        Kind.HIDDEN,
        f"{now.hidden} of {now.taken} sessions do not show {now.server.user} what they do.",
        (f"{now.server.user} has no pg_read_all_stats, which is in pg_monitor",),
        HIDDEN_REMEDY,
        (f"grant pg_monitor to {identifier(now.server.user)};",),
        now.hidden,
    )


def walsenders(looked: Looked) -> Iterator[Finding]:
    """Yield that no further standby may connect: it gets 53300 as well."""
    now = looked.now
    if not now.walsenders or len(now.walsenders) < now.server.max_wal_senders:
        return
    yield Finding(
        Kind.WALSENDERS,
        f"All {now.server.max_wal_senders} places for replication are taken: the next standby, "
        "backup or subscriber gets 53300, whatever room there is for sessions.",
        shown(now.walsenders, str),
        WALSENDER_REMEDY,
        (f"max_wal_senders = {2 * now.server.max_wal_senders}",),
    )


def memory(looked: Looked) -> Iterator[Finding]:
    """Yield that max_connections sessions would not fit in memory, where that is known."""
    now, server = looked.now, looked.now.server
    if now.memory_bytes is None:
        return
    usable = int(now.memory_bytes * (1 - SYSTEM_SHARE)) - server.shared_buffers_bytes
    fits = max(0, usable) // CONNECTION_BYTES
    if server.max_connections <= fits:
        return
    yield Finding(
        Kind.MEMORY,
        f"max_connections is {server.max_connections}, and memory holds {fits} sessions of "
        f"{show_bytes(CONNECTION_BYTES)}.",
        (
            f"{show_bytes(now.memory_bytes)} - {SYSTEM_SHARE:.0%} for the system - shared_buffers "
            f"{show_bytes(server.shared_buffers_bytes)} = {show_bytes(max(0, usable))}",
            f"{server.max_connections} sessions would take "
            f"{show_bytes(server.max_connections * CONNECTION_BYTES)}, and work_mem "
            f"{show_bytes(server.work_mem_bytes)} for each sort on top",
        ),
        MEMORY_REMEDY,
        (f"max_connections = {fits}",) if fits else (),
    )
