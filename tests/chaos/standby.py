"""A real standby: pg_basebackup of a writer, which it then streams from."""

from __future__ import annotations

from collections.abc import Mapping

from broker.local.cluster import SUPERUSER, prepare
from broker.local.postgres import FIXED, STOP_SIGNALS, Postgres
from broker.local.process import ServerProcess


class Standby(Postgres):
    """A copy of `writer`, made when it is started the first time; a writer once promoted."""

    def __init__(self, writer: Postgres, settings: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._writer = writer

    def start(self) -> None:
        """Start it, copying the writer's data the first time."""
        if self._server is None:
            self._server = ServerProcess("postgres")
            self._copy(self._server)
            self._cluster = prepare(self._server, None)
        super().start()

    def _copy(self, server: ServerProcess) -> None:
        writer = self._writer
        password = writer._cluster.password
        server.write("superuser-password", f"{password}\n")
        passfile = server.write("pgpass", f"{writer.host}:{writer.port}:*:{SUPERUSER}:{password}\n")
        conninfo = f"host={writer.host} port={writer.port} user={SUPERUSER} passfile={passfile}"
        data = server.directory / "data"
        server.run(
            [
                *(writer._cluster.binaries / "pg_basebackup", "-D", data, "-d", conninfo),
                *("--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"),
            ]
        )
        # The copy has the writer's own: with nobody to wait for, a promoted standby would hang.
        with (data / "postgresql.auto.conf").open("a") as auto:
            auto.write("synchronous_standby_names = ''\ndefault_transaction_read_only = off\n")

    def _launch(self, server: ServerProcess) -> None:
        cluster = self._cluster
        settings = {**self._settings, **FIXED, "port": str(self.port)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]

        def ready(_: str) -> bool:
            pid_file = cluster.data / "postmaster.pid"
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            return (
                len(lines) >= 8
                and lines[0].strip() == str(server.pid)
                and lines[7].strip() in ("ready", "standby")
            )

        server.start(
            [cluster.binaries / "postgres", "-D", cluster.data, *options],
            ready=ready,
            stop_signal=STOP_SIGNALS["immediate"],
        )

    def promote(self) -> None:
        """Make it a writer, and wait until it is."""
        self.admin("select pg_promote(wait => true, wait_seconds => 30)")
