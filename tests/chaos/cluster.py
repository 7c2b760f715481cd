"""A writer, and standbys that can take its place without losing what was acknowledged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from broker.local.postgres import Postgres, StopMode
from tests.chaos.standby import Standby
from tests.wait import wait_until

WAITING = """select 1 from pg_stat_activity where wait_event = 'SyncRep'
             and query like 'comment on database%'"""
SETTINGS = {"max_connections": "80", "wal_keep_size": "256MB"}


class Cluster:
    """One writer at a time. Whoever asks `port()` is led to it, as by a name that moves."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        self.writer: Postgres = Postgres(self._settings)
        self._standby: Standby | None = None
        self._former: list[Postgres] = []
        self.moving = threading.Lock()
        """Held while the writer changes. A backend that is killed while it waits for a standby that
        is one no longer has committed all the same, where nobody will ever find it: PostgreSQL's
        own warning says so. Whoever kills must hold it, too.
        """

    def __enter__(self) -> Self:
        self.writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in (self._standby, *self._former, self.writer):
            if server is not None:
                server.close()

    def port(self) -> int:
        """Return the writer's port."""
        return self.writer.port

    def servers(self) -> list[Postgres]:
        """Return the writer and the former ones that still run."""
        return [server for server in (self.writer, *self._former) if server.running]

    def add_standby(self) -> None:
        """Add a standby which every COMMIT waits for from here on, so that none is lost."""
        if self._standby is not None:
            return
        standby = Standby(self.writer, self._settings)
        try:
            standby.start()
        except BaseException:
            standby.close()
            raise
        self._standby = standby
        self._wait_for_it_at_commit()

    def _wait_for_it_at_commit(self) -> None:
        """Make COMMIT wait for the standby, and see one wait.

        pg_stat_replication says "sync" a moment before that is so for everybody, and what is
        acknowledged in that moment would be lost. So COMMIT waits for nobody first, in vain.
        """
        self._alter_system("synchronous_standby_names", "'nobody'")
        with ThreadPoolExecutor(1) as thread:
            waiting = [thread.submit(self._commit)]

            def seen() -> bool:
                if waiting[0].done():
                    waiting[0] = thread.submit(self._commit)
                return bool(self.writer.admin(WAITING))

            try:
                wait_until(seen, "a COMMIT to wait for a standby")
            finally:
                self._alter_system("synchronous_standby_names", "'*'")

            def let_go() -> bool:
                self.writer.admin("select pg_switch_wal()")  # the standby answers to that
                return waiting[0].done()

            wait_until(let_go, "the standby to be synchronous")
            waiting[0].result()

    def _commit(self) -> None:
        self.writer.admin("comment on database postgres is 'committed'")

    def switch_over(self) -> None:
        """Promote the standby, or one made now. The old writer stays, and is read-only (25006)."""
        with self.moving:
            self.add_standby()
            self._alter_system("default_transaction_read_only", "on")
            self._promote()

    def fail_over(self) -> None:
        """Promote the standby, or one made now; the old writer has crashed."""
        with self.moving:
            self.add_standby()
            self.writer.stop("immediate")
            self._promote()

    def restart(self, mode: StopMode) -> None:
        """Restart the writer."""
        with self.moving:
            self.writer.restart(mode)

    def _promote(self) -> None:
        assert self._standby is not None
        self._standby.promote()
        self._former.append(self.writer)
        self.writer, self._standby = self._standby, None

    def restore(self) -> None:
        """Have the writer running, alone, and open to all."""
        with self.moving:
            if not self.writer.running:
                self.writer.kill()
                self.writer.start()
            standby, self._standby = self._standby, None
            if standby is not None:  # a strike failed on its way
                standby.close()
                self._alter_system("synchronous_standby_names", "''")
                self._alter_system("default_transaction_read_only", "off")
            while self._former:
                self._former.pop().close()

    def _alter_system(self, name: str, value: str) -> None:
        self.writer.admin(f"alter system set {name} = {value}")
        self.writer.admin("select pg_reload_conf()")
