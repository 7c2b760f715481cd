"""What a local PgBouncer's files say: sections given by hand, or a plan's own rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from broker.local.process import ServerError
from broker.pgbouncer import Hosting, render_ini
from broker.plan import Plan

Config = Mapping[str, Mapping[str, str]]

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


class Ini(Protocol):
    """A pgbouncer.ini, but for where it runs."""

    @property
    def max_clients(self) -> int:
        """How many clients it lets in."""

    def text(self, hosting: Hosting) -> str:
        """Return pgbouncer.ini for a pooler that runs there."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan's rendering, byte for byte, in front of a server."""

    plan: Plan
    host: str
    port: int

    @property
    def max_clients(self) -> int:
        """How many clients it lets in."""
        return self.plan.whole("max_client_conn")

    def text(self, hosting: Hosting) -> str:
        """Return pgbouncer.ini for a pooler that runs there."""
        return render_ini(self.plan, replace(hosting, host=self.host, port=self.port))


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections given by hand: [databases] is needed, [pgbouncer] goes over DEFAULTS."""

    config: Config

    @property
    def _settings(self) -> Mapping[str, str]:
        return {**DEFAULTS, **self.config.get("pgbouncer", {})}

    @property
    def max_clients(self) -> int:
        """How many clients it lets in."""
        return int(self._settings["max_client_conn"])

    def text(self, hosting: Hosting) -> str:
        """Return pgbouncer.ini for a pooler that runs there."""
        fixed = {
            "listen_addr": hosting.listen_host,
            "listen_port": str(hosting.listen_port),
            "auth_file": f"{hosting.directory}/userlist.txt",
            "admin_users": hosting.admin or "",
        }
        if hosting.client_certificate is not None and hosting.client_key is not None:
            fixed |= {
                "client_tls_sslmode": "require",
                "client_tls_cert_file": hosting.client_certificate,
                "client_tls_key_file": hosting.client_key,
            }
        return render_sections({**self.config, "pgbouncer": {**self._settings, **fixed}})


def render_sections(sections: Config) -> str:
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
