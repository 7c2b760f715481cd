"""A real PgBouncer on loopback, for tests, the demo and development."""

from __future__ import annotations

import contextlib
import signal
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

import pg8000.native

from broker.local import binaries, certificates
from broker.local.pooler_files import Config, Ini, Planned, Sections, render_userlist
from broker.local.process import (
    LOOPBACK,
    PortTaken,
    ServerError,
    ServerProcess,
    free_port,
    raise_file_limit,
)
from broker.pgbouncer import Hosting

ADMIN = "broker_admin"
PORT_TRIES = 5
SPARE_FILES = 512  # server sessions, listeners and libevent's own


class PgBouncer:
    """One pooler with a directory of its own; `with` starts it and leaves nothing behind.

    `config` is a plan's rendering (Planned), or pgbouncer.ini's sections: [databases] is needed,
    [pgbouncer] goes over DEFAULTS, others ([users], [peers]) are handed on. `users` are the names
    and passwords or SCRAM secrets of userlist.txt, of clients and for the server. With `tls`,
    clients must use TLS; the certificate, for 127.0.0.1 and localhost, verifies against `ca_file`.
    """

    host = LOOPBACK

    def __init__(
        self,
        config: Config | Planned,
        users: Mapping[str, str],
        *,
        port: int | None = None,
        tls: bool = False,
    ) -> None:
        self._config: Ini = _ini(config)
        self._users = dict(users)
        self._given_port = port
        self._port = port or free_port()
        self._admin_password = token_urlsafe()
        self._server: ServerProcess | None = None
        self._ini = Path()
        self._certificates = certificates.issue(self.host, "localhost") if tls else None

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
        return f"<PgBouncer {self.host}:{self.port} {state}>"

    @property
    def port(self) -> int:
        """The TCP port; it stays the same over stops and starts."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._server is not None and self._server.is_running()

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, with `tls=True` and once started."""
        return self._started().directory / "ca.pem"

    @property
    def ini_file(self) -> Path:
        """The pgbouncer.ini that it runs, once started."""
        return self._ini

    def start(self) -> None:
        """Start the pooler and wait until it accepts connections."""
        if self._server is None:
            self._server = ServerProcess("pgbouncer")
            self._server.make_folder("1")  # the socket's, where the plan's rendering has it
        raise_file_limit(self._config.max_clients + SPARE_FILES)
        binary = self._server.reachable(binaries.pgbouncer().resolve())
        for tries_left in reversed(range(1 if self._given_port else PORT_TRIES)):
            self._write_files(self._server)
            try:
                self._server.start(
                    [binary, self._ini], ready=says_ready, stop_signal=signal.SIGQUIT
                )
                return
            except PortTaken:
                if not tries_left:
                    raise
                self._port = free_port()

    def stop(self) -> None:
        """Stop as ECS will: finish the transactions that are open, then disconnect (SIGINT)."""
        if self._server is not None:
            self._server.stop(signal.SIGINT)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._server is not None:
            self._server.kill()

    def reload(
        self, config: Config | Planned | None = None, users: Mapping[str, str] | None = None
    ) -> None:
        """Take on another configuration or other users without dropping a client."""
        self._config = _ini(config) if config is not None else self._config
        self._users = dict(users) if users is not None else self._users
        self._write_files(self._started())
        self.admin("RELOAD")

    def close(self) -> None:
        """Stop at once and delete the directory."""
        server, self._server = self._server, None
        if server is None:
            return
        try:
            server.stop(signal.SIGQUIT)
        finally:
            server.close()

    def admin(self, command: str, *, timeout_s: float | None = 10) -> list[dict[str, str]]:
        """Run one admin console command (SHOW POOLS, PAUSE ...); its rows by column name.

        SHUTDOWN and KILL of one's own connection end with pg8000's InterfaceError.
        """
        connection = pg8000.native.Connection(
            ADMIN,
            host=self.host,
            port=self.port,
            password=self._admin_password,
            database="pgbouncer",
            ssl_context=self.client_context() if self._certificates else False,
            timeout=timeout_s,
        )
        try:
            rows = connection.run(command) or []
            names = [column["name"] for column in connection.columns or ()]
        finally:
            with contextlib.suppress(pg8000.native.InterfaceError):
                connection.close()
        return [
            {
                name: "" if value is None else str(value)
                for name, value in zip(names, row, strict=True)
            }
            for row in rows
        ]

    def client_context(self) -> ssl.SSLContext:
        """Return what a client verifies this pooler with, when it has TLS."""
        return ssl.create_default_context(cafile=self.ca_file)

    def log_tail(self, lines: int = 20) -> str:
        """Return the log's last lines."""
        return self._started().log_tail(lines)

    def _started(self) -> ServerProcess:
        if self._server is None:
            raise ServerError("PgBouncer is not started")
        return self._server

    def _write_files(self, server: ServerProcess) -> None:
        server.write("userlist.txt", render_userlist({**self._users, ADMIN: self._admin_password}))
        self._ini = server.write("pgbouncer.ini", self._config.text(self._hosting(server)))

    def _hosting(self, server: ServerProcess) -> Hosting:
        hosting = Hosting(
            listen_host=self.host,
            listen_port=self.port,
            directory=str(server.directory),
            sockets=str(server.directory),
            server_ca=None,
            client_certificate=None,
            client_key=None,
            admin=ADMIN,
        )
        pair = self._certificates
        if pair is None:
            return hosting
        server.write("ca.pem", pair.ca)
        return replace(
            hosting,
            client_certificate=str(server.write("server.crt", pair.certificate)),
            client_key=str(server.write("server.key", pair.key)),
        )


def _ini(config: Config | Planned) -> Ini:
    return config if isinstance(config, Planned) else Sections(config)


def says_ready(log: str) -> bool:
    """Whether PgBouncer has logged that it listens; who answers on the port could be another."""
    return "process up: PgBouncer" in log
