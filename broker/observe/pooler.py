"""Pooler: what a PgBouncer's admin console says of it."""

from __future__ import annotations

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
    max_by_database: dict[str, int]
    """max_db_connections, by the database as clients name it."""
    max_by_user: dict[str, int]

    @property
    def may_open(self) -> int:
        """The server sessions that its pools may come to hold together."""
        most = 0
        for database in sorted({pool.database for pool in self.pools}):
            pools = [pool for pool in self.pools if pool.database == database]
            opened = sum(self.most_of(pool) for pool in pools)
            limit = self.max_by_database.get(database, 0)
            most += min(opened, limit) if limit else opened
        return most

    def most_of(self, pool: Pool) -> int:
        """Return how many server sessions this pool may come to hold, its reserve included."""
        limit = self.max_by_user.get(pool.user, 0)
        most = pool.size + pool.reserve
        return min(most, limit) if limit else most
