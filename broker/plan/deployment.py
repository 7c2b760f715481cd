"""Deployment: what broker.toml says, checked, and nothing worked out yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from broker.plan.prices import Prices

WORK_MEM_BYTES = 4 * 2**20  # PostgreSQL's default
CONNECTION_BYTES = 10 * 10**6  # FACTS 5: about 10 MB a backend; `broker measure` knows better


class Engine(Enum):
    """Whose PostgreSQL it is; that decides what is reserved before anybody connects."""

    POSTGRESQL = "postgresql"
    RDS = "rds-postgresql"
    AURORA = "aurora-postgresql"


class Flavour(Enum):
    """What stands in between; broker.settings.Flavour has the same values, and a test says so."""

    DIRECT = "direct"
    PGBOUNCER = "pgbouncer"
    RDS_PROXY = "rds-proxy"


class Kind(Enum):
    """What opens the sessions."""

    FUNCTION = "functions"
    SERVICE = "services"


@dataclass(frozen=True, slots=True)
class Database:
    """The server. `max_connections_how` says where the limit comes from; None is unknown."""

    engine: Engine
    max_connections: int
    max_connections_how: str
    instance: str | None = None
    vcpus: int | None = None
    memory_bytes: int | None = None
    shared_buffers_bytes: int | None = None
    work_mem_bytes: int = WORK_MEM_BYTES
    memory_per_connection_bytes: int = CONNECTION_BYTES
    burstable: bool = False
    acu: float | None = None
    min_acu: float | None = None


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A database and the user that connects to it: PgBouncer keeps a pool for each."""

    database: str
    user: str

    def __str__(self) -> str:
        return f"{self.database}/{self.user}"

    @property
    def client(self) -> str:
        """The name to log in with at the pooler, where Middle.client says so; no server has it."""
        return f"{self.user}_client"


@dataclass(frozen=True, slots=True)
class Middle:
    """What stands between; None means that the plan decides."""

    flavour: Flavour = Flavour.PGBOUNCER
    tasks: int = 2  # over two zones (FACTS 7)
    processes: int = 1
    overlap: float = 2.0  # ECS with maximum healthy 200 %: twice the tasks in a rollout (FACTS 7)
    pairs: tuple[Pair, ...] = (Pair("appdb", "app"),)
    active_sessions: int | None = None
    pool_size: int | None = None
    reserve_pool_size: int | None = None
    cap: int | None = None
    proxy_minimum_percent: int | None = None
    task_vcpu: float = 0.5
    task_memory_bytes: int = 2**30
    wait_s: float = 0.1
    wait_chance: float = 0.01

    @property
    def has_client_names(self) -> bool:
        """Whether clients log in at the pooler with a name, and a secret, of their own.

        The pooler then logs in at the server as the pair's user, whoever the client is. With two
        users it would let each client in as the other's, so there the names go through as they are.
        """
        return len({pair.user for pair in self.pairs}) == 1

    def client(self, pair: Pair) -> str:
        """Return the name that this pair's clients log in with at the pooler."""
        return pair.client if self.has_client_names else pair.user


@dataclass(frozen=True, slots=True)
class Application:
    """A function or a service: how many environments, and the sessions of each.

    `environments` is a function's concurrency or a service's instances. On Managed Instances an
    environment runs several `processes`, each with sessions of its own (FACTS 3). `overlap` is how
    many versions hold sessions at once in a rollout: environments of the old version stay frozen
    with theirs open while the new one's start.
    """

    name: str
    kind: Kind
    environments: int
    processes: int = 1
    sessions: int = 1
    overlap: float = 2.0
    pair: Pair = Pair("appdb", "app")
    rate_per_s: float = 0.0
    mean_s: float = 0.0
    p99_s: float | None = None
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """Sessions kept for somebody, by name and reason."""

    name: str
    sessions: int
    reason: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that can open a session, and what it opens it on."""

    database: Database
    middle: Middle = field(default_factory=Middle)
    applications: tuple[Application, ...] = ()
    reserves: tuple[Reserve, ...] = ()
    account_concurrency: int = 1000  # AWS' default for a region
    prices: Prices = field(default_factory=Prices)
    file: str = "broker.toml"
    has_deploy: bool = False
    """Whether the file has [deploy], of which this says nothing."""
