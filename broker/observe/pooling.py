"""Pooling: what PgBouncer's console tells, and how its numbers fit the server's."""

from __future__ import annotations

from collections.abc import Iterator

from broker.observe.application import grouped, instance
from broker.observe.finding import Finding, Kind, shown
from broker.observe.looked import Looked
from broker.observe.pooler import Pool, Pooler
from broker.observe.snapshot import Snapshot
from broker.observe.words import age, count

BYPASS_REMEDY = (
    "The pooler keeps to its size; the rest comes past it. Point those applications at the pooler, "
    "or give each a CONNECTION LIMIT. If one session runs away with the server, end that one; if "
    "nothing stands out, have your provider look at it."
)
LOGIN_REMEDY = (
    "See PgBouncer's log for what the server answers: the password in its auth_file, its way to "
    "the server, or the server's own 53300. It tries again every server_login_retry."
)
SMALL_REMEDY = (
    "Make transactions shorter, or the pool larger as far as the server has room (`broker plan` "
    "says how far): clients wait for a server session until query_wait_timeout."
)
CLIENTS_REMEDY = (
    "Raise max_client_conn: clients of PgBouncer's are cheap (a file and some kB each). Watch its "
    "limit of open files, which must be above max_client_conn and all pools together."
)
LIMITS_REMEDY = (
    "Let every limit be the plan's (`broker plan`, `broker render`): what all pools may open must "
    "fit below the server's, the role's and the database's limit, or PgBouncer itself meets 53300."
)


def bypassed(looked: Looked) -> Iterator[Finding]:
    """Yield that the server is full while the pooler keeps to its size."""
    now, pooler = looked.now, looked.now.pooler
    if pooler is None or not looked.pressed:
        return
    pooled = sum(b.pid in pooler.server_pids for b in now.others)
    past = looked.unpooled
    if not pooler.pools or pooler.may_open > now.server.ordinary_limit or len(past) <= pooled:
        return
    longest = max((b.transaction_s or 0.0 for b in past), default=0.0)
    yield Finding(
        Kind.BYPASS,
        f"PgBouncer holds {count(pooled, 'session')} of the {pooler.may_open} that it may, and "
        f"{len(past)} come past it.",
        (
            *shown(
                [
                    f"{where}: {count(len(held), 'session')}"
                    for where, held in grouped(past, instance).items()
                ],
                "more instances",
            ),
            f"the longest transaction among them: {age(longest)}",
        ),
        BYPASS_REMEDY,
        (),
        len(past),
    )


def no_login(looked: Looked) -> Iterator[Finding]:
    """Yield each pool with clients that wait, and no server session that they could get.

    In two looks, since the first client of a pool waits for a moment. A client that waits for its
    pool's first session has no maxwait.
    """
    before = looked.before.pooler if looked.before else None
    stuck = {str(pool) for pool in before.pools if _has_no_server(pool)} if before else set()
    for pool in looked.now.pooler.pools if looked.now.pooler else ():
        if str(pool) in stuck and _has_no_server(pool):
            yield Finding(
                Kind.POOLER_LOGIN,
                f"{pool}: {count(pool.clients_waiting, 'client')} waiting, and PgBouncer has no "
                "server session for them.",
                (f"{count(pool.servers_logging_in, 'login')} under way at this moment",),
                LOGIN_REMEDY,
                (),
                pool.clients_waiting,
            )


def _has_no_server(pool: Pool) -> bool:
    return bool(pool.clients_waiting) and pool.servers == pool.servers_logging_in


def small(looked: Looked) -> Iterator[Finding]:
    """Yield each pool whose clients wait for a server session that others have."""
    for pool in looked.now.pooler.pools if looked.now.pooler else ():
        if not pool.clients_waiting or _has_no_server(pool):
            continue
        if pool.longest_wait_s >= looked.thresholds.pooler_wait_s:
            yield Finding(
                Kind.POOL_TOO_SMALL,
                f"{pool}: {count(pool.clients_waiting, 'client')} waiting, the longest for "
                f"{age(pool.longest_wait_s)}, for one of {count(pool.servers, 'server session')}.",
                (
                    f"{pool.servers_active} active, {pool.servers_idle} idle, pool_size "
                    f"{pool.size} + reserve {pool.reserve}",
                    f"{count(pool.clients_active, 'client')} active",
                ),
                SMALL_REMEDY,
                _larger(pool, looked.now),
                pool.clients_waiting,
            )


def clients(looked: Looked) -> Iterator[Finding]:
    """Yield that PgBouncer will soon refuse clients, or does."""
    pooler = looked.now.pooler
    if pooler is None or pooler.clients < looked.thresholds.client_share * (
        pooler.max_client_connections
    ):
        return
    yield Finding(
        Kind.POOLER_CLIENTS,
        f"{pooler.clients} of {pooler.max_client_connections} clients (max_client_conn): the next "
        'get "no more connections allowed".',
        tuple(f"{pool}: {pool.clients_active + pool.clients_waiting}" for pool in pooler.pools),
        CLIENTS_REMEDY,
        (f"max_client_conn = {2 * pooler.max_client_connections}",),
        pooler.clients,
    )


def limits(looked: Looked) -> Iterator[Finding]:
    """Yield each limit of the server's that is lower than what the pools may open."""
    pooler = looked.now.pooler
    if pooler is None:
        return
    excesses = list(_excesses(pooler, looked.now))
    if not excesses:
        return
    yield Finding(
        Kind.POOLER_LIMITS,
        f"PgBouncer may open {count(pooler.may_open, 'server session')}: more than it can get.",
        tuple(excesses),
        LIMITS_REMEDY,
        _smaller(pooler, looked.now),
    )


def _excesses(pooler: Pooler, now: Snapshot) -> Iterator[str]:
    limit = now.server.ordinary_limit
    if pooler.may_open > limit:
        yield f"all pools together {pooler.may_open}, the server has {limit} for ordinary roles"
    for role in now.roles:
        most = sum(pooler.most_of(pool) for pool in pooler.pools if pool.user == role.name)
        if 0 < role.limit < most and not role.is_super:
            yield f"role {role.name}: pools of {most}, CONNECTION LIMIT {role.limit}"
    for database in now.databases:
        pools = [pool for pool in pooler.pools if pool.server_database == database.name]
        most = sum(pooler.most_of(pool) for pool in pools)
        if 0 < database.limit < most:
            yield f"database {database.name}: pools of {most}, CONNECTION LIMIT {database.limit}"


def _larger(pool: Pool, now: Snapshot) -> tuple[str, ...]:
    room = now.room // 2
    return (f"default_pool_size = {pool.size + room}",) if room else ()


def _smaller(pooler: Pooler, now: Snapshot) -> tuple[str, ...]:
    share = now.server.ordinary_limit // max(1, len(pooler.pools))
    reserve = max((pool.reserve for pool in pooler.pools), default=0)
    return (f"default_pool_size = {max(1, share - reserve)}",) if pooler.pools else ()
