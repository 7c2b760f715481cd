"""Pooler: what a PgBouncer's admin console says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """One pair of database and user: SHOW POOLS, with its size out of SHOW DATABASES and USERS."""

    database: str
    """As clients name it."""
    server_database: str
    user: str
    size: int
    reserve: int
    clients_active: int
    clients_waiting: int
    servers_active: int
    servers_idle: int
    servers_used: int
    servers_tested: int
    servers_logging_in: int
    longest_wait_s: float

    @property
    def servers(self) -> int:
        """The server sessions that it holds."""
        return (
            self.servers_active
            + self.servers_idle
            + self.servers_used
            + self.servers_tested
            + self.servers_logging_in
        )

    @property
    def most(self) -> int:
        """The server sessions that it may come to hold."""
        return self.size + self.reserve

    def __str__(self) -> str:
        return f"{self.database}/{self.user}"


@dataclass(frozen=True, slots=True)
class Pooler:
    """One PgBouncer. 0 is no limit in both `max_…` maps."""

    version: str
    pools: tuple[Pool, ...]
    server_pids: frozenset[int]
    """The backends that its server sessions are."""
    max_client_connections: int
    clients: int
    max_by_database: Mapping[str, int]
    """max_db_connections, by the database as clients name it."""
    max_by_user: Mapping[str, int]

    @property
    def may_open(self) -> int:
        """The server sessions that its pools may come to hold together.

        Both maps bound it: each database's pools together, and each user's.
        """
        by_database, by_user = Counter[str](), Counter[str]()
        for pool in self.pools:
            by_database[pool.database] += pool.most
            by_user[pool.user] += pool.most
        return min(_bounded(by_database, self.max_by_database), _bounded(by_user, self.max_by_user))

    def may_open_as(self, user: str) -> int:
        """Return how many of them may be this user's."""
        most = sum(pool.most for pool in self.pools if pool.user == user)
        return _bounded(Counter({user: most}), self.max_by_user)

    def may_open_on(self, server_database: str) -> int:
        """Return how many of them may be on this database of the server's."""
        pools = [pool for pool in self.pools if pool.server_database == server_database]
        most = Counter[str]()
        for pool in pools:
            most[pool.database] += pool.most
        return _bounded(most, self.max_by_database)


def _bounded(most: Counter[str], limits: Mapping[str, int]) -> int:
    return sum(min(number, limits.get(name) or number) for name, number in most.items())
