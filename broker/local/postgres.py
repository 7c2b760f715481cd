"""A real PostgreSQL on loopback, for tests, the demo and development."""

from __future__ import annotations

import signal
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import pg8000.native

from broker.local import certificates
from broker.local.cluster import SUPERUSER, Cluster, prepare
from broker.local.process import LOOPBACK, PortTaken, ServerError, ServerProcess, free_port

PORT_TRIES = 5
CRASH_BOUND_S = 10.0  # how long the backends of a killed postmaster may take to notice

StopMode = Literal["smart", "fast", "immediate"]
STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

DEFAULTS: Mapping[str, str] = {
    "fsync": "off",  # speed: it survives a crash of the server, not of the machine
    "max_connections": "100",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Loopback alone, and nothing outside the data directory: no socket file, no /dev/shm segment.
FIXED: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
}


class Postgres:
    """One server with a data directory of its own; `with` starts it and leaves nothing behind.

    `settings` are postgresql.conf's, over DEFAULTS. A `directory` that is given is kept at the
    end and used again. Everybody logs in over TCP with SCRAM. With `tls` plaintext is refused, as
    RDS does with rds.force_ssl; the certificate, for 127.0.0.1, localhost and `names`, verifies
    against `ca_file`. The wheel's build has no TLS: that server is the platform's own package.
    `version` is an older major one, which `make test` fetches; left out, the wheel's.
    """

    host = LOOPBACK

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        directory: Path | None = None,
        port: int | None = None,
        tls: bool = False,
        names: Sequence[str] = (),
        version: int | None = None,
    ) -> None:
        self._certificates = certificates.issue(self.host, "localhost", *names) if tls else None
        self._settings = {**DEFAULTS, **(settings or {})}
        self._given_directory = directory
        self._given_port = port
        self._version = version
        self._server: ServerProcess | None = None
        self._cluster: Cluster
        self._port = port or free_port()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Postgres {self.host}:{self.port} {state}>"

    @property
    def port(self) -> int:
        """The TCP port; it stays the same over stops and starts."""
        return self._port

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running_server().pid

    @property
    def running(self) -> bool:
        """Whether the postmaster is there."""
        return self._server is not None and self._server.is_running()

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, with `tls=True` and once started."""
        return self._running_server().directory / "ca.pem"

    def start(self) -> None:
        """Start the server, making its data directory the first time."""
        if self._server is None:
            self._server = ServerProcess("postgres", self._given_directory)
            self._cluster = prepare(self._server, self._certificates, self._version)
        bound = time.monotonic() + CRASH_BOUND_S
        tries = 1 if self._given_port else PORT_TRIES
        while True:
            try:
                self._launch(self._server)
                return
            except PortTaken:
                tries -= 1
                if not tries:
                    raise
                self._port = free_port()
            except ServerError as error:
                orphans = "is still in use" in str(error)  # backends of a killed postmaster
                if not orphans or time.monotonic() > bound:
                    raise
                time.sleep(0.1)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server as pg_ctl does; the data stays for the next start()."""
        if self._server is not None:
            self._server.stop(STOP_SIGNALS[mode])

    def restart(self, mode: StopMode = "fast", settings: Mapping[str, str] | None = None) -> None:
        """Stop and start, with these settings changed."""
        self.stop(mode)
        self._settings |= settings or {}
        self.start()

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; its backends end as they notice, start() recovers."""
        if self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """Stop the server and delete its data, unless its directory was given."""
        server, self._server = self._server, None
        if server is None:
            return
        try:
            server.stop(STOP_SIGNALS["fast" if self._given_directory else "immediate"])
        finally:
            server.close()

    def admin(self, sql: str, *, database: str = "postgres", **parameters: Any) -> list[list[Any]]:
        """Run one statement as the superuser in a connection of its own; its rows."""
        connection = self.connect(database)
        try:
            return [list(row) for row in connection.run(sql, **parameters) or ()]
        finally:
            connection.close()

    def connect(self, database: str = "postgres") -> Any:
        """Open a pg8000.native connection as the superuser, who has reserved slots."""
        return pg8000.native.Connection(
            SUPERUSER,
            host=self.host,
            port=self.port,
            password=self._cluster.password,
            database=database,
            application_name="broker-local-admin",
            ssl_context=self.client_context() if self._certificates else False,
        )

    def client_context(self) -> ssl.SSLContext:
        """Return what a client verifies this server with, when it has TLS."""
        return ssl.create_default_context(cafile=self.ca_file)

    def set_password(self, role: str, password: str) -> None:
        """Change a role's password."""
        self.admin(
            f"alter role {pg8000.native.identifier(role)} "
            f"password {pg8000.native.literal(password)}"
        )

    def create_role(
        self,
        name: str,
        password: str,
        *,
        connection_limit: int = -1,
        attributes: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Create a role that logs in; `settings` become its defaults, `attributes` are raw SQL."""
        role = pg8000.native.identifier(name)
        secret = pg8000.native.literal(password)
        self.admin(
            f"create role {role} login password {secret} "
            f"connection limit {connection_limit} {attributes}"
        )
        self.set_defaults(name, settings or {})

    def set_defaults(self, role: str, settings: Mapping[str, str]) -> None:
        """Change what a role's sessions start with."""
        for key, value in settings.items():
            self.admin(
                f"alter role {pg8000.native.identifier(role)} "
                f"set {pg8000.native.identifier(key)} to {pg8000.native.literal(value)}"
            )

    def create_database(self, name: str, owner: str = SUPERUSER) -> None:
        """Create a database."""
        self.admin(
            f"create database {pg8000.native.identifier(name)} "
            f"owner {pg8000.native.identifier(owner)}"
        )

    def dsn(self, user: str | None = None, password: str = "", database: str = "postgres") -> str:
        """Return a postgresql:// address with the password in it; the superuser's by default."""
        if user is None:
            user, password = SUPERUSER, self._cluster.password
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(database, safe='')}"

    def conninfo(self, database: str) -> str:
        """Return host, port and dbname as PgBouncer's [databases] section wants them."""
        return f"host={self.host} port={self.port} dbname={database}"

    def log_tail(self, lines: int = 20) -> str:
        """Return the log's last lines."""
        return self._running_server().log_tail(lines)

    def _running_server(self) -> ServerProcess:
        if self._server is None:
            raise ServerError("Postgres is not started")
        return self._server

    def _launch(self, server: ServerProcess) -> None:
        cluster = self._cluster
        settings = {**self._settings, **cluster.settings, **FIXED, "port": str(self.port)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        server.start(
            [cluster.binaries / "postgres", "-D", cluster.data, *options],
            ready=lambda _: says_ready(cluster.data / "postmaster.pid", server.pid),
            stop_signal=STOP_SIGNALS["immediate"],
        )


def says_ready(pid_file: Path, pid: int) -> bool:
    """Whether the postmaster with this pid has written that it is open: pg_ctl's own test."""
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
