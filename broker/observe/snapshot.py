"""Snapshot: what a server, and the pooler in front of it, said of themselves at one moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from broker.observe.backend import WALSENDER, Backend
from broker.observe.pooler import Pooler


@dataclass(frozen=True, slots=True)
class Server:
    """The server, its limits, and who asks."""

    version: str
    version_number: int
    address: str | None
    """Its own; None over a Unix socket."""
    port: int | None
    in_recovery: bool
    up_s: float
    max_connections: int
    superuser_reserved: int
    reserved: int
    """For pg_use_reserved_connections (16+), or for rds_superuser."""
    max_wal_senders: int
    shared_buffers_bytes: int
    work_mem_bytes: int
    idle_in_transaction_timeout_ms: int
    user: str
    user_is_super: bool
    sees_all: bool
    """Whether the user may see what others' sessions do: pg_monitor, or a superuser."""
    reads_files: bool
    pid: int

    @property
    def ordinary_limit(self) -> int:
        """How many sessions the roles may have that may use no reserved place."""
        return self.max_connections - self.superuser_reserved - self.reserved


@dataclass(frozen=True, slots=True)
class Role:
    """A role that logs in, with its CONNECTION LIMIT; -1 is none."""

    name: str
    limit: int
    is_super: bool
    may_use_reserved: bool
    watches: bool = False
    """Whether it is a broker's own monitor's or reaper's: at its limit it has what it needs."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database with its CONNECTION LIMIT, and what it counted (PostgreSQL 14+)."""

    name: str
    limit: int
    sessions: int | None
    abandoned: int | None
    killed: int | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction: it holds its locks, and has no session."""

    gid: str
    owner: str
    database: str
    age_s: float


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment. `refusals` are the 53300s that we met before we got in."""

    at_s: float
    """The server's time at which it counted; until 14 that may be half a second ago."""
    server: Server
    backends: tuple[Backend, ...]
    roles: tuple[Role, ...] = ()
    databases: tuple[Database, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    memory_bytes: int | None = None
    refusals: int = 0
    pooler: Pooler | None = field(default=None)

    @cached_property
    def sessions(self) -> tuple[Backend, ...]:
        """Everybody's sessions, ours too."""
        return tuple(b for b in self.backends if b.is_client)

    @cached_property
    def others(self) -> tuple[Backend, ...]:
        """The sessions of others."""
        return tuple(b for b in self.sessions if b.pid != self.server.pid)

    @cached_property
    def hidden(self) -> int:
        """How many sessions do not show us what they do."""
        return sum(b.hidden for b in self.others)

    @cached_property
    def walsenders(self) -> tuple[Backend, ...]:
        """The server's replication connections."""
        return tuple(b for b in self.backends if b.backend_type == WALSENDER)

    @cached_property
    def by_role(self) -> Counter[str]:
        """Others' sessions by role."""
        return Counter(b.user for b in self.others if b.user is not None)

    @cached_property
    def by_database(self) -> Counter[str]:
        """Others' sessions by database."""
        return Counter(b.database for b in self.others if b.database is not None)

    @property
    def taken(self) -> int:
        """How many places of max_connections are taken, but for ours."""
        return len(self.others)

    @property
    def taken_share(self) -> float:
        """How much of max_connections that is."""
        return self.taken / self.server.max_connections

    @property
    def room(self) -> int:
        """How many more sessions ordinary roles may open, once ours has ended."""
        return max(0, self.server.ordinary_limit - self.taken)

    def opened_since(self, before: Snapshot | None) -> int | None:
        """Sessions opened since `before`, ended ones too; None where nobody counted."""
        now, then = self.opened, before.opened if before else None
        if now is None or then is None or now < then:  # the statistics were reset
            return None
        return now - then

    @property
    def opened(self) -> int | None:
        """Sessions that were ever opened, where the server counts them."""
        return total(self.databases, "sessions")


def total(databases: tuple[Database, ...], counter: str) -> int | None:
    """Return the sum of a counter over all databases; None where the server has none."""
    values = [getattr(database, counter) for database in databases]
    known = [value for value in values if value is not None]
    return sum(known) if known else None
