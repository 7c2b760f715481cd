"""The world that is to be broken: real servers, real runtimes, and a hop on each way."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self

from broker.local.fleet import EnvironmentInfo, EnvironmentState, Fleet, Function
from broker.local.fleet_errors import FleetClosed, UnknownEnvironment
from broker.local.launcher import DEFAULT_PRELOAD
from broker.local.loop_thread import LoopThread
from broker.local.pgbouncer import PgBouncer
from broker.settings import Flavour
from tests.chaos.cluster import Cluster
from tests.chaos.hop import Hop
from tests.chaos.load import Load
from tests.chaos.vault import Vault
from tests.chaos.vitals import holder_of

CODE = Path(__file__).with_name("functions")
DATABASE = "ledgerdb"
POOLED, DIRECT = "pooled", "direct"
"""Each is the name of a function, and of the role that it logs in as."""
POOL_SIZE, RESERVE_SIZE = 6, 2
MAX_CLIENTS = 500
POOLER = {
    "max_client_conn": str(MAX_CLIENTS),
    "default_pool_size": str(POOL_SIZE),
    "reserve_pool_size": str(RESERVE_SIZE),
    "reserve_pool_timeout": "0.5",
    "query_wait_timeout": "1",
    "server_login_retry": "0.2",
}
TIMEOUT_S = 5.0  # of an invocation
PRELOAD = (*DEFAULT_PRELOAD, "boto3")  # which a rotation makes every environment import at once
SETTLED_S = 0.15  # above BROKER_FRESH_S: sessions are looked at before they are used
RETRY_S = 0.1
MARGIN_S = 2.0  # of it, so that a machine that stands still for a while breaks no deadline


class World:
    """Everything, started by `with`; nothing of it is left afterwards.

    environments → hop → PgBouncer → hop → PostgreSQL, and environments → hop → PostgreSQL.
    """

    def __init__(self, clients: dict[str, int]) -> None:
        self.vault = Vault({POOLED: token_urlsafe(), DIRECT: token_urlsafe()})
        self.excused: set[str] = set()
        """Environments that a fault made late, or ended."""
        self._clients = clients
        self._versions = 0
        self._rotations = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self.vault)
            self.cluster = opening.enter_context(Cluster())
            loop = LoopThread("chaos")
            opening.callback(loop.close)
            self.to_pooler = Hop("client to pooler", loop, lambda: self.pooler.port)
            self.to_server = Hop("pooler to server", loop, self.cluster.port)
            self.direct = Hop("client to server", loop, self.cluster.port)
            for hop in self.hops:
                hop.open()
                opening.callback(hop.close)
            self._create_ledger()
            self.pooler = opening.enter_context(PgBouncer(*self._pooler_config()))
            self.fleet = opening.enter_context(Fleet(preload=PRELOAD))
            self.deploy()
            self.load = Load(self.fleet, self._clients)
            opening.callback(self.load.close)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def hops(self) -> tuple[Hop, Hop, Hop]:
        """Every hop there is."""
        return self.to_pooler, self.to_server, self.direct

    def _create_ledger(self) -> None:
        writer = self.cluster.writer
        for role, password in self.vault.current.items():
            writer.create_role(role, password)
        writer.create_database(DATABASE)
        self.sql("create table ledger (id bigint generated always as identity, token text)")
        self.sql(f"grant insert, select on ledger to {POOLED}, {DIRECT}")

    def _pooler_config(self) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        conninfo = f"host={self.to_server.host} port={self.to_server.port} dbname={DATABASE}"
        config = {"databases": {DATABASE: conninfo}, "pgbouncer": POOLER}
        return config, {POOLED: (self.vault.current | self.vault.pending)[POOLED]}

    def deploy(self, handler: str = "ledger.handler", **more: str) -> None:
        """Deploy both functions, with `more` variables."""
        self._versions += 1
        for name, hop, flavour in (
            (POOLED, self.to_pooler, Flavour.PGBOUNCER),
            (DIRECT, self.direct, Flavour.DIRECT),
        ):
            variables = {
                "BROKER_HOST": hop.host,
                "BROKER_PORT": str(hop.port),
                "BROKER_DATABASE": DATABASE,
                "BROKER_USER": name,
                **self.vault.variables(name),
                "BROKER_FLAVOUR": flavour.value,
                "BROKER_TLS": "off",
                "BROKER_MARGIN_S": str(MARGIN_S),
                "BROKER_CONNECT_TIMEOUT_S": "0.5",
                **more,
            }
            self.fleet.deploy(
                Function(
                    name=name,
                    handler=handler,
                    code=CODE,
                    environment=variables,
                    timeout_s=TIMEOUT_S,
                    version=str(self._versions),
                )
            )

    def rotate_passwords(self) -> None:
        """Change both passwords where they are checked; in the vault the new ones are pending."""
        self.vault.finish()
        self._rotations += 1
        for role in self.vault.current:  # PgBouncer takes a file of the same second and size for
            self.vault.pending[role] = token_urlsafe(32 + self._rotations % 64)  # the same file
            self.cluster.writer.set_password(role, self.vault.pending[role])
        self.pooler.reload(*self._pooler_config())

    def sql(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """Run a statement as the superuser on the writer."""
        return self.cluster.writer.admin(sql, database=DATABASE, **parameters)

    def rows(self, prefix: str = "") -> Counter[str]:
        """Return the ledger's tokens that begin with this, and how often each is there."""
        sql = "select token, count(*) from ledger where starts_with(token, :prefix) group by 1"
        return Counter({str(token): int(count) for token, count in self.sql(sql, prefix=prefix)})

    def environments(self) -> list[EnvironmentInfo]:
        """Return the environments of both functions that are alive."""
        return [one for name in (POOLED, DIRECT) for one in self.fleet.environments(name)]

    def busy(self) -> list[EnvironmentInfo]:
        """Return those that serve an invocation now."""
        return [one for one in self.environments() if one.state is EnvironmentState.BUSY]

    def environment_at(self, port: int) -> EnvironmentInfo | None:
        """Return the environment that has a socket with this port of its own."""
        by_pid = {one.pid: one for one in self.environments() if one.pid}
        pid = holder_of(port, list(by_pid))
        return None if pid is None else by_pid.get(pid)

    def backends(self, where: str) -> list[tuple[int, str, str]]:
        """Return the functions' server sessions for which this is true: pid, role, state."""
        sql = f"""select pid, usename, state from pg_stat_activity
                  where usename in ('{POOLED}', '{DIRECT}') and {where}"""
        return [(int(pid), str(role), str(state)) for pid, role, state in self.sql(sql)]

    def terminate(self, where: str, limit: int = 1_000) -> int:
        """End so many of the server sessions for which this is true, and count them."""
        if not self.cluster.moving.acquire(blocking=False):
            return 0
        try:
            return self._terminate(where, limit)
        finally:
            self.cluster.moving.release()

    def terminate_at(self, port: int) -> None:
        """End the server session with a client at this port, which waits for nothing now."""
        self._terminate(f"client_port = {port}", 1)

    def _terminate(self, where: str, limit: int) -> int:
        sql = f"""select count(pg_terminate_backend(pid)) from (
                    select pid from pg_stat_activity
                    where usename in ('{POOLED}', '{DIRECT}') and {where}
                    order by random() limit {limit}) as doomed"""
        return sum(
            int(server.admin(sql, database=DATABASE)[0][0]) for server in self.cluster.servers()
        )

    def heal(self) -> None:
        """Make everything well again, whatever was done to it."""
        for one in self.environments():
            if one.held:
                self.fleet.thaw(one.id)
        for hop in self.hops:
            hop.heal()
        _until_it_works(self.cluster.restore)
        self.sql(f"alter role {DIRECT} connection limit -1")
        _until_it_works(self._restore_pooler)
        for hop in self.hops:
            if hop.failures:
                raise hop.failures[0]
        time.sleep(SETTLED_S)  # what the last strike ended a moment ago is no fault of the next

    def _restore_pooler(self) -> None:
        if not self.pooler.running:
            self.pooler.kill()
            self.pooler.start()
        self.restore_client_limit()
        self.pooler.admin("reconnect")

    def restore_client_limit(self) -> None:
        """Let the pooler take on as many clients as ever."""
        self.pooler.admin(f"set max_client_conn = {MAX_CLIENTS}")

    def restart_pooler(self, how: signal.Signals) -> None:
        """End the pooler with SIGINT (finish transactions first) or SIGKILL; start it again."""
        if how is signal.SIGKILL:
            self.pooler.kill()
        else:
            self.pooler.stop()
        self.pooler.start()

    def thaw_later(self, environment_id: str, after_s: float) -> None:
        """Thaw an environment then, from a thread of its own."""

        def thaw() -> None:
            with contextlib.suppress(UnknownEnvironment, FleetClosed):
                self.fleet.thaw(environment_id)

        threading.Timer(after_s, thaw).start()


def _until_it_works(act: Callable[[], None], tries: int = 20) -> None:
    """Servers that were just killed and started may refuse at first."""
    for left in reversed(range(tries)):
        try:
            act()
        except Exception:
            if not left:
                raise
            time.sleep(RETRY_S)
        else:
            return
