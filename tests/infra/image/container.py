"""A pooler's task in a container's layout, with the environment that ECS would give it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.local import binaries, certificates
from broker.local.process import LOOPBACK, free_port
from broker.pgbouncer import Hosting, render_ini
from broker.plan import Plan
from broker.settings import Flavour, Settings
from tests.infra.image.dockerfile import Dockerfile
from tests.infra.image.enclosed import Enclosed, Volume
from tests.wait import wait_until

SECONDS_TO_DRAIN = 30.0


@dataclass(frozen=True)
class Server:
    """The database: its port on loopback, and the authority that it is verified with."""

    port: int
    ca_file: Path


@dataclass(frozen=True)
class Secrets:
    """What Secrets Manager would hold: a name and a password for each hop, and the certificate."""

    plan: Plan
    server_password: str = field(repr=False)
    client_password: str = field(repr=False)
    certificate: certificates.Certificates

    def environ(self) -> dict[str, str]:
        """Return the variables that ECS makes of them."""
        (pair,) = self.plan.deployment.middle.pairs
        server = {"username": pair.user, "password": self.server_password, "engine": "postgres"}
        client = {"username": pair.client, "password": self.client_password}
        shown = {"certificate": self.certificate.certificate, "key": self.certificate.key}
        return {
            "PGBOUNCER_SERVER_SECRET_1": json.dumps(server),
            "PGBOUNCER_CLIENT_SECRET_1": json.dumps(client),
            "PGBOUNCER_CERTIFICATE": json.dumps({**shown, "ca": self.certificate.ca}),
        }


class Container:
    """One task; `with` starts it, waits until it is healthy, and leaves nothing behind.

    `settings` are added to what the plan renders.
    """

    def __init__(
        self,
        plan: Plan,
        server: Server,
        secrets: Secrets,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.plan = plan
        self.port = port or free_port()
        self._server = server
        self._secrets = secrets
        self._more = "".join(f"{key} = {value}\n" for key, value in (settings or {}).items())
        self._dockerfile = Dockerfile.read()
        self._folder = Path(tempfile.mkdtemp(prefix="broker-task-"))
        self._enclosed: Enclosed | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            wait_until(self.is_healthy, f"the task to be healthy; its log: {self.log()}")
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

    @property
    def pid(self) -> int:
        """The entrypoint's process id, outside."""
        return self._running.pid

    @property
    def image(self) -> Path:
        """What is in the image, laid out."""
        return self._folder / "image"

    @property
    def volume(self) -> Path:
        """Its folder for secrets, as seen from outside."""
        return self._folder / "volume"

    @property
    def sockets(self) -> Path:
        """Its folder for sockets and logs, as seen from outside."""
        return self._folder / "sockets"

    def environ(self) -> dict[str, str]:
        """Return the environment that the task definition gives."""
        hosting = Hosting(
            host=LOOPBACK,
            port=self._server.port,
            listen_host=LOOPBACK,
            listen_port=self.port,
        )
        processes = range(1, self.plan.deployment.middle.processes + 1)
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",  # Docker's
            **{
                f"PGBOUNCER_INI_{n}": render_ini(self.plan, hosting, process=n) + self._more
                for n in processes
            },
            **self._secrets.environ(),
        }

    def start(self) -> None:
        """Start it and return at once."""
        self._folder.chmod(0o755)
        self.image.mkdir()
        self.ca_file.write_text(self._secrets.certificate.ca)
        self._dockerfile.lay_out(self.image, {"rds-ca.pem": self._server.ca_file.read_text()})
        shutil.copy2(binaries.pgbouncer().resolve(), self.image / "usr/local/bin/pgbouncer")
        for volume in (self.volume, self.sockets):
            volume.mkdir(mode=0o700)
            os.chown(volume, *self._dockerfile.user)
        self._run()

    def start_again(self) -> None:
        """End it at once, and run it again on the volumes that it had."""
        self._running.close()
        self._run()

    def _run(self) -> None:
        log = self._folder / "log"
        self._enclosed = Enclosed(
            self.image,
            self._dockerfile.user,
            [
                Volume(self.volume, Hosting().directory),
                Volume(self.sockets, Hosting().sockets),
            ],
            self._dockerfile.entrypoint,
            self.environ(),
            out=log,
            errors=log,
        )

    @property
    def _running(self) -> Enclosed:
        assert self._enclosed is not None, "the task is not started"
        return self._enclosed

    def processes(self) -> list[int]:
        """Return the process ids of its PgBouncers, in order."""
        return self._running.children()

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside it, as its user, as `docker exec` does."""
        return self._running.execute(*command)

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        return self.execute(*self._dockerfile.health)

    def is_healthy(self) -> bool:
        """Whether the health check passes; an error if the task has ended."""
        code = self._running.outer.poll()
        if code is not None:
            raise AssertionError(f"the task has ended with {code}: {self.log()}")
        return self.health().returncode == 0

    def signal(self, number: int) -> None:
        """Send the first process a signal, as the container runtime does."""
        os.kill(self.pid, number)

    def signal_stop(self) -> None:
        """Send STOPSIGNAL."""
        self.signal(signal.Signals[self._dockerfile.only("STOPSIGNAL")])

    def stop(self) -> int:
        """Send STOPSIGNAL, and wait for the end; its exit code."""
        self.signal_stop()
        return self.wait()

    def wait(self, bound_s: float = SECONDS_TO_DRAIN) -> int:
        """Wait for the end by itself; its exit code."""
        return self._running.outer.wait(bound_s)

    def log(self) -> str:
        """Return what it has written so far."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def settings(self, **changes: object) -> Settings:
        """Return the library's settings for it, verifying it in full."""
        return client_settings(self.port, self.plan, self._secrets, self.ca_file, **changes)

    @property
    def ca_file(self) -> Path:
        """What clients verify it with."""
        return self._folder / "client-ca.pem"

    def close(self) -> None:
        """End it at once, and delete its files."""
        enclosed, self._enclosed = self._enclosed, None
        if enclosed is not None:
            enclosed.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def client_settings(
    port: int, plan: Plan, secrets: Secrets, ca_file: Path, /, **changes: object
) -> Settings:
    """Return the library's settings for a pooler of this plan, or for what stands before it."""
    (pair,) = plan.deployment.middle.pairs
    given: dict[str, object] = {
        "host": LOOPBACK,
        "port": port,
        "database": pair.database,
        "user": pair.client,
        "password": secrets.client_password,
        "flavour": Flavour.PGBOUNCER,
        "tls_ca": str(ca_file),
    }
    return Settings(**{**given, **changes})  # type: ignore[arg-type]
