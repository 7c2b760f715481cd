"""Limits of what stands in between: pools for PgBouncer, a percentage for RDS Proxy."""

from __future__ import annotations

import math

from broker.plan.deployment import Deployment, Flavour, Kind
from broker.plan.draft import Draft, Limit
from broker.plan.sessions import add_held, add_sum, factors, held_at_worst

POOL_PER_RESERVE = 5  # the reference: reserve 5 to a pool of 25
RESERVE_WAIT_S = 3  # the reference: reserve_pool_timeout
CONSOLES = 10  # a task's exporter, the load balancer's health checks, somebody who looks
SKEW = 2  # an NLB never moves a flow: after restarts in a row one task has twice its share
CLIENTS_STEP = 1000  # the limit is rounded up to the next thousand: a slot costs 2 kB
NOFILE_MOST = 65_535  # Fargate's (FACTS 6)
SPARE_FILES = 512  # listeners, logs, DNS, libevent's own

PROXY_HEADROOM = 1.3  # FACTS 4: keep 30 %
# FACTS 4: small classes need at least 20-35 %, the classes are not known (?): the safe side
# counts more sessions for the proxy. broker.proxy_minimum_percent overrides it.
PROXY_MINIMUM_SMALL = 35
PROXY_MINIMUM = 20
SMALL_VCPUS = 2


def add_limits(draft: Draft, deployment: Deployment) -> None:
    """Write down the flavour's limits, and the sessions that they allow at the worst moment."""
    flavour = deployment.middle.flavour
    if flavour is Flavour.PGBOUNCER:
        _add_pools(draft, deployment)
        _add_clients(draft, deployment)
    elif flavour is Flavour.RDS_PROXY:
        _add_percent(draft, deployment)
        add_held(draft, deployment, "clients")
    else:
        _add_direct(draft, deployment)


def _add_pools(draft: Draft, deployment: Deployment) -> None:
    numbers, middle = draft.numbers, deployment.middle
    steady = middle.tasks * middle.processes * len(middle.pairs)
    numbers.whole(
        "pools",
        steady,
        "pools",
        f"{middle.tasks} tasks × {middle.processes} processes × {len(middle.pairs)} pairs",
        source="a pool for each database and user, in every process",
    )
    processes = numbers.whole(
        "processes_at_worst",
        math.ceil(middle.tasks * middle.overlap) * middle.processes,
        "processes",
        f"{middle.tasks} tasks × {middle.overlap:g} in a rollout × {middle.processes} processes",
        source="during a rollout twice the tasks hold pools",
    )
    at_worst = numbers.whole(
        "pools_at_worst",
        processes * len(middle.pairs),
        "pools",
        f"{processes} processes × {len(middle.pairs)} pairs",
        "processes_at_worst",
    )
    pool, reserve = _sizes(draft, deployment, steady, at_worst)
    each = numbers.whole(
        "sessions_per_pool",
        pool + reserve,
        "sessions",
        f"{pool} + {reserve}: the reserve comes on top of the pool",
        "default_pool_size",
        "reserve_pool_size",
        source="PgBouncer's manual",
    )
    _add_per_name(draft, deployment, processes, each)
    how = f"{at_worst} pools × {each} sessions"
    add_sum(draft, at_worst * each, how, "pools_at_worst", "sessions_per_pool")


def _sizes(draft: Draft, deployment: Deployment, steady: int, at_worst: int) -> tuple[int, int]:
    numbers, middle = draft.numbers, deployment.middle
    active, budget = int(numbers["active_sessions"]), int(numbers["budget"])
    share = numbers.whole(
        "pool_share",
        max(0, budget) // at_worst,
        "sessions",
        f"budget {budget} / {at_worst} pools, rounded down",
        "budget",
        "pools_at_worst",
    )
    by_budget = share - share // (POOL_PER_RESERVE + 1)
    pool = min(active // steady, by_budget)
    how = (
        f"the smaller of {active} active / {steady} pools = {active // steady} and what the "
        f"share of {share} leaves beside its reserve = {by_budget}"
    )
    if middle.pool_size is not None:
        pool, how = middle.pool_size, "as given: broker.pool_size"
    if pool < 1:
        draft.refuse(
            Limit.POOL,
            max(steady, at_worst),
            min(active, max(0, budget)),
            f"a pool needs a session: {steady} pools share {active} active sessions, and "
            f"{at_worst} at the worst moment share a budget of {budget}",
        )
        pool = 1
    elif pool * steady > active:
        draft.refuse(
            Limit.ACTIVE,
            pool * steady,
            active,
            f"{steady} pools of {pool} make {pool * steady} active sessions, over {active}",
        )
    reserve = max(0, min(pool // POOL_PER_RESERVE, share - pool))
    reserve_how = f"a fifth of {pool}, and at most what the share of {share} leaves"
    if middle.reserve_pool_size is not None:
        reserve, reserve_how = middle.reserve_pool_size, "as given: broker.reserve_pool_size"
    numbers.whole(
        "default_pool_size",
        pool,
        "sessions",
        how,
        "active_sessions",
        "pools",
        "pool_share",
        source="the reference: 25 for one pooler",
    )
    numbers.whole(
        "reserve_pool_size",
        reserve,
        "sessions",
        reserve_how,
        "default_pool_size",
        "pool_share",
        source="the reference: 5 on 25",
    )
    numbers.whole(
        "reserve_pool_timeout",
        RESERVE_WAIT_S,
        "s",
        "a client that waits so long may use the reserve",
        source="the reference",
    )
    return pool, reserve


def _add_per_name(draft: Draft, deployment: Deployment, processes: int, each: int) -> None:
    """Write down each database's and user's limit: a pair that nobody planned stays within it."""
    numbers, pairs = draft.numbers, deployment.middle.pairs
    for database in sorted({pair.database for pair in pairs}):
        count = sum(pair.database == database for pair in pairs)
        numbers.whole(
            f"max_db_connections.{database}",
            count * each,
            "sessions",
            f"{count} users × {each}, in one process",
            "sessions_per_pool",
        )
    for user in sorted({pair.user for pair in pairs}):
        count = sum(pair.user == user for pair in pairs)
        most = numbers.whole(
            f"max_user_connections.{user}",
            count * each,
            "sessions",
            f"{count} databases × {each}, in one process",
            "sessions_per_pool",
        )
        numbers.whole(
            f"connection_limit.{user}",
            most * processes,
            "sessions",
            f"{most} × {processes} processes: ALTER ROLE {user} CONNECTION LIMIT",
            f"max_user_connections.{user}",
            "processes_at_worst",
            source="the server's own stop, also for backends whose pooler has left them",
        )


def _add_clients(draft: Draft, deployment: Deployment) -> None:
    numbers, middle = draft.numbers, deployment.middle
    held = add_held(draft, deployment, "clients")
    clients = numbers.whole(
        "clients_at_worst",
        held + CONSOLES,
        "clients",
        f"{held} held by applications + {CONSOLES} consoles and health checks",
        *(f"held.{application.name}" for application in deployment.applications),
    )
    left = max(1, middle.tasks - 1) * middle.processes
    share = clients if left == 1 else min(clients, math.ceil(clients / left) * SKEW)
    how = f"all {clients}" if left == 1 else f"{clients} / {left} × {SKEW} for uneven flows"
    slots = numbers.whole(
        "max_client_conn",
        math.ceil(share / CLIENTS_STEP) * CLIENTS_STEP,
        "clients",
        f"{how} on each of the {left} processes left with one task gone, rounded up to the next "
        f"{CLIENTS_STEP:,}",
        "clients_at_worst",
        source="the reference: 2000 in front of 25",
    )
    pairs = len(middle.pairs)
    files = numbers.whole(
        "nofile",
        (slots + int(numbers["sessions_per_pool"]) * pairs + SPARE_FILES) * middle.processes,
        "files",
        f"(max_client_conn + pools + {SPARE_FILES}) × {middle.processes} processes",
        "max_client_conn",
        "sessions_per_pool",
        source="PgBouncer's manual",
    )
    if files > NOFILE_MOST:
        draft.refuse(
            Limit.CLIENTS,
            files,
            NOFILE_MOST,
            f"{clients:,} clients need {files:,} open files in a task with one task gone, "
            f"and Fargate allows {NOFILE_MOST:,}",
        )
    if middle.tasks == 1:
        draft.notes.append(
            "One task: while it is replaced after a failure nobody connects. Two cost the pool a "
            "half each, unless active_sessions and max_connections allow more."
        )


def _add_percent(draft: Draft, deployment: Deployment) -> None:
    numbers, database, middle = draft.numbers, deployment.database, deployment.middle
    limit, active = database.max_connections, int(numbers["active_sessions"])
    small = database.burstable or (database.vcpus or 0) <= SMALL_VCPUS
    least = numbers.whole(
        "proxy_minimum_percent",
        middle.proxy_minimum_percent or (PROXY_MINIMUM_SMALL if small else PROXY_MINIMUM),
        "%",
        "as given"
        if middle.proxy_minimum_percent
        else f"a {'small' if small else 'large'} class; not known for certain",
        source="not documented for each class: broker.proxy_minimum_percent overrides it",
    )
    wanted = math.ceil(100 * active * PROXY_HEADROOM / limit)
    percent = numbers.whole(
        "max_connections_percent",
        min(100, max(least, wanted)),
        "%",
        f"{active} active sessions and 30 % headroom are {wanted} % of {limit}; the class needs "
        f"{least} %",
        "active_sessions",
        "max_connections",
        "proxy_minimum_percent",
    )
    numbers.whole(
        "max_idle_connections_percent",
        percent // 2,
        "%",
        f"half of {percent}",
        "max_connections_percent",
        source="the default",
    )
    opened = numbers.whole(
        "proxy_sessions",
        math.ceil(limit * percent / 100),
        "sessions",
        f"{percent} % of {limit}, rounded up",
        "max_connections_percent",
        "max_connections",
    )
    for user in sorted({pair.user for pair in middle.pairs}):
        numbers.whole(
            f"connection_limit.{user}",
            opened,
            "sessions",
            "all that the proxy may open",
            "proxy_sessions",
        )
    add_sum(draft, opened, f"RDS Proxy with {percent} % of {limit}", "proxy_sessions")


def _add_direct(draft: Draft, deployment: Deployment) -> None:
    numbers, cap = draft.numbers, deployment.middle.cap
    add_held(draft, deployment, "sessions")
    inputs = [f"held.{application.name}" for application in deployment.applications]
    opened = dict.fromkeys(Kind, 0)
    for application in deployment.applications:
        opened[application.kind] += held_at_worst(application)
    how = " + ".join(f"{factors(each)} of {each.name}" for each in deployment.applications)
    if cap is not None and cap < opened[Kind.FUNCTION]:
        numbers.whole("cap", cap, "sessions", "as given: the fleet-wide cap over all functions")
        opened[Kind.FUNCTION] = cap
        inputs.append("cap")
        how = f"functions capped at {cap}, services {opened[Kind.SERVICE]}"
    for user in sorted({pair.user for pair in deployment.middle.pairs}):
        mine = [each for each in deployment.applications if each.pair.user == user]
        functions = sum(held_at_worst(each) for each in mine if each.kind is Kind.FUNCTION)
        services = sum(held_at_worst(each) for each in mine if each.kind is Kind.SERVICE)
        numbers.whole(
            f"connection_limit.{user}",
            min(functions, opened[Kind.FUNCTION]) + services,
            "sessions",
            f"what {user}'s applications hold",
            *inputs,
        )
    if cap is None and opened[Kind.FUNCTION]:
        draft.notes.append(
            "Without broker.cap the count holds for one rollout at a time: sessions of frozen or "
            "reaped environments stay until idle_session_timeout, so wait as long before the next "
            "one, give overlap = 3, or give a cap, which holds always."
        )
    add_sum(draft, sum(opened.values()), how or "no application", *inputs)
