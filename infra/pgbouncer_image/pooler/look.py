"""Look: what one process' console says of its clients and its sessions at one moment. Pure.

SHOW POOLS counts clients and sessions by state. SHOW LISTS has what it leaves out: the clients that
log in, and all that max_client_conn bounds. SHOW SERVERS has each session's address and age.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

CONSOLE = "pgbouncer"  # the console's own database, with a pool of its own
BUSY = ("sv_active", "sv_active_cancel", "sv_being_canceled", "sv_tested", "sv_login")
IDLE = ("sv_idle", "sv_used")  # used: idle, and to be tried before it is lent again

WHEN = "%Y-%m-%d %H:%M:%S"  # … and a time zone, which is this container's

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Counters:
    """What a process has counted since it started."""

    wait_us: int
    assignments: int
    query_us: int
    queries: int


@dataclass(frozen=True)
class Shown:
    """The rows of the SHOW commands of these names."""

    pools: Rows
    databases: Rows
    users: Rows
    stats: Rows
    lists: Rows
    servers: Rows
    config: Rows


@dataclass(frozen=True)
class Look:
    """One process at one moment; `pool_used_percent` is None where nothing limits its pools.

    `servers` has the sessions by address and state, those without that only carry a cancel request.
    """

    clients_active: int
    clients_waiting: int
    longest_wait_ms: float
    sessions_active: int
    sessions_idle: int
    pool_used_percent: float | None
    counters: Counters
    clients_logging_in: int = 0
    clients_used_percent: float = 0.0
    servers: Counter[str] = field(default_factory=Counter)
    oldest_session_s: float = 0.0


def read(shown: Shown, now_s: float) -> Look:
    """Return the look that these SHOW commands' rows make."""
    pools, stats = shown.pools, shown.stats
    lists = {row["list"]: int(row["items"]) for row in shown.lists}
    config = {row["key"]: row["value"] for row in shown.config}
    servers = [row for row in shown.servers if "cancel" not in row["state"]]
    ages = (now_s - _when_s(row["connect_time"]) for row in servers)
    theirs = [row for row in pools if row["database"] != CONSOLE]
    waits_us = (int(row["maxwait"]) * 1_000_000 + int(row["maxwait_us"]) for row in theirs)
    return Look(
        clients_active=_sum(theirs, "cl_active"),
        clients_waiting=_sum(theirs, "cl_waiting"),
        longest_wait_ms=max(waits_us, default=0) / 1000,
        sessions_active=_sum(theirs, *BUSY),
        sessions_idle=_sum(theirs, *IDLE),
        pool_used_percent=max(
            _shares(theirs, shown.databases, shown.users), default=None if theirs else 0.0
        ),
        counters=_counters([row for row in stats if row["database"] != CONSOLE]),
        clients_logging_in=lists["login_clients"],
        clients_used_percent=100 * lists["used_clients"] / int(config["max_client_conn"]),
        servers=Counter(f"{row['addr']}:{row['port']} {row['state']}" for row in servers),
        oldest_session_s=max(0.0, *ages) if servers else 0.0,
    )


def _when_s(text: str) -> float:
    """Return a time of the console's, which is of the machine's own zone."""
    return time.mktime(time.strptime(text[:19], WHEN))


def _counters(stats: Rows) -> Counters:
    return Counters(
        wait_us=_sum(stats, "total_wait_time"),
        assignments=_sum(stats, "total_server_assignment_count"),
        query_us=_sum(stats, "total_query_time"),
        queries=_sum(stats, "total_query_count"),
    )


def _shares(pools: Rows, databases: Rows, users: Rows) -> Iterator[float]:
    """Yield of each limit on sessions how much of it is lent, in percent.

    A pool has a size and a reserve; all of a database's pools together have a limit, and all of a
    user's. 0 is no limit.
    """
    by_database = {row["name"]: row for row in databases}
    by_user = {row["name"]: row for row in users}
    for row in pools:
        size = _size(by_database[row["database"]], by_user.get(row["user"], {}))
        yield from _share(int(row["sv_active"]), size)
    for name, lent in _lent_by("database", pools).items():
        yield from _share(lent, _whole(by_database[name].get("max_connections")))
    for name, lent in _lent_by("user", pools).items():
        yield from _share(lent, _whole(by_user.get(name, {}).get("max_user_connections")))


def _share(lent: int, most: int) -> Iterator[float]:
    if most > 0:
        yield 100 * lent / most


def _size(database: Mapping[str, str], user: Mapping[str, str]) -> int:
    """Return a pool's size with its reserve: the user's where it has one, else the database's."""
    size = _whole(user.get("pool_size") or database["pool_size"])
    reserve = _whole(user.get("reserve_pool_size") or database["reserve_pool_size"])
    return size + reserve if size else 0


def _lent_by(column: str, pools: Rows) -> Counter[str]:
    lent = Counter[str]()
    for row in pools:
        lent[row[column]] += int(row["sv_active"])
    return lent


def _sum(rows: Iterable[Mapping[str, str]], *columns: str) -> int:
    return sum(int(row[column]) for row in rows for column in columns)


def _whole(text: str | None) -> int:
    return int(text) if text else 0
