"""A real PgBouncer on loopback, for tests, the demo and development."""

from __future__ import annotations

import contextlib
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

import pg8000.native

from broker.local import binaries, certificates
from broker.local.process import (
    LOOPBACK,
    PortTaken,
    ServerError,
    ServerProcess,
    free_port,
    raise_file_limit,
)

Config = Mapping[str, Mapping[str, str]]

ADMIN = "broker_admin"
PORT_TRIES = 5
SPARE_FILES = 512  # server sessions, listeners and libevent's own

# FACTS section 6 says why each of them is not PgBouncer's own default.
DEFAULTS: Mapping[str, str] = {
    "pool_mode": "transaction",
    "auth_type": "scram-sha-256",
    "max_client_conn": "2000",
    "default_pool_size": "25",
    "reserve_pool_size": "5",
    "reserve_pool_timeout": "3",
    "max_prepared_statements": "200",
    "query_wait_timeout": "10",
    "server_login_retry": "1",
    "dns_max_ttl": "5",
    "listen_backlog": "4096",
    "tcp_keepidle": "60",
    "ignore_startup_parameters": "extra_float_digits, options",
    "log_connections": "0",
    "log_disconnections": "0",
    "unix_socket_dir": "",
}


class PgBouncer:
    """One pooler with a directory of its own; `with` starts it and leaves nothing behind.

    `config` holds pgbouncer.ini's sections: [databases] is needed, [pgbouncer] goes over DEFAULTS,
    others ([users], [peers]) are handed on. `users` are the names and plain passwords of
    userlist.txt: clients log in with them, and so does PgBouncer at the server. With `tls`,
    clients must use TLS; the certificate, for 127.0.0.1 and localhost, verifies against `ca_file`.
    """

    host = LOOPBACK

    def __init__(
        self,
        config: Config,
        users: Mapping[str, str],
        *,
        port: int | None = None,
        tls: bool = False,
    ) -> None:
        self._config = config
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

    def start(self) -> None:
        """Start the pooler and wait until it accepts connections."""
        if self._server is None:
            self._server = ServerProcess("pgbouncer")
        raise_file_limit(self._max_clients() + SPARE_FILES)
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

    def reload(self, config: Config | None = None, users: Mapping[str, str] | None = None) -> None:
        """Take on another configuration or other users without dropping a client."""
        self._config = config if config is not None else self._config
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

    def _max_clients(self) -> int:
        return int({**DEFAULTS, **self._config.get("pgbouncer", {})}["max_client_conn"])

    def _write_files(self, server: ServerProcess) -> None:
        userlist = server.write(
            "userlist.txt", render_userlist({**self._users, ADMIN: self._admin_password})
        )
        fixed = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "auth_file": str(userlist),
            "admin_users": ADMIN,
            **self._tls_settings(server),
        }
        sections = {
            **self._config,
            "pgbouncer": {**DEFAULTS, **self._config.get("pgbouncer", {}), **fixed},
        }
        self._ini = server.write("pgbouncer.ini", render_ini(sections))

    def _tls_settings(self, server: ServerProcess) -> dict[str, str]:
        pair = self._certificates
        if pair is None:
            return {}
        server.write("ca.pem", pair.ca)
        return {
            "client_tls_sslmode": "require",
            "client_tls_cert_file": str(server.write("server.pem", pair.certificate)),
            "client_tls_key_file": str(server.write("server.key", pair.key)),
        }


def says_ready(log: str) -> bool:
    """Whether PgBouncer has logged that it listens; who answers on the port could be another."""
    return "process up: PgBouncer" in log


def render_ini(sections: Config) -> str:
    """Return pgbouncer.ini's text."""
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in section.items()), ""])
        for name, section in sections.items()
    )


def render_userlist(users: Mapping[str, str]) -> str:
    """Return userlist.txt's text: quoted pairs, a quote inside doubled."""

    def quoted(text: str) -> str:
        if "\n" in text or "\0" in text:
            raise ServerError("userlist.txt cannot hold a line break or a NUL")
        return '"' + text.replace('"', '""') + '"'

    return "".join(f"{quoted(name)} {quoted(password)}\n" for name, password in users.items())
