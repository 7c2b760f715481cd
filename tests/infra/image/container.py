"""A pooler's task in a container's layout, with no Docker: its entrypoint is process 1.

It runs as the image's user, on a read-only root with one writable volume, in mount and process
namespaces of its own, with the environment that ECS would give it and nothing else. The network is
the machine's loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from broker.local import binaries, certificates
from broker.local.process import LOOPBACK, free_port
from broker.pgbouncer import Hosting, render_ini
from broker.plan import Plan
from broker.settings import Flavour, Settings
from tests.infra.image.dockerfile import Dockerfile
from tests.wait import wait_until

ENCLOSE = Path(__file__).with_name("enclose.py")
PYTHON = "/usr/bin/python3"  # what the entrypoint's first line names; Debian's own
SECONDS_TO_DRAIN = 30.0


def need_root() -> None:
    """Skip where a container's layout cannot be made; in CI that would be a proof left out."""
    if os.geteuid() == 0 and shutil.which("unshare") and Path(PYTHON).exists():
        return
    reason = f"a container's layout needs root, unshare and {PYTHON}: not shown here"
    if os.environ.get("CI"):
        raise AssertionError(reason)
    pytest.skip(reason)


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
        need_root()
        self.plan = plan
        self.port = port or free_port()
        self._server = server
        self._secrets = secrets
        self._more = "".join(f"{key} = {value}\n" for key, value in (settings or {}).items())
        self._dockerfile = Dockerfile.read()
        self._folder = Path(tempfile.mkdtemp(prefix="broker-task-"))
        self._outer: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.returncode: int | None = None

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
    def volume(self) -> Path:
        """Its writable folder, as seen from outside."""
        return self._folder / "volume"

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
        image = self._folder / "image"
        self._folder.chmod(0o755)
        image.mkdir()
        self.ca_file.write_text(self._secrets.certificate.ca)
        self._dockerfile.lay_out(image, {"rds-ca.pem": self._server.ca_file.read_text()})
        shutil.copy2(binaries.pgbouncer().resolve(), image / "usr/local/bin/pgbouncer")
        uid, gid = self._dockerfile.user
        self.volume.mkdir(mode=0o700)
        os.chown(self.volume, uid, gid)
        with (self._folder / "log").open("wb") as log:
            self._outer = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                    *(sys.executable, "-I", ENCLOSE, image, self.volume, str(uid), str(gid)),
                    *self._dockerfile.entrypoint,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ(),
                start_new_session=True,
            )
        self.pid = wait_until(self._first, "the container's first process")

    def _first(self) -> int:
        """Return the entrypoint's process id outside; -1 if it has ended by now."""
        outer = self._outer
        assert outer is not None
        if outer.poll() is not None:
            return -1
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def processes(self) -> list[int]:
        """Return the process ids of its PgBouncers, in order."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside it, as its user, as `docker exec` does."""
        uid, gid = map(str, self._dockerfile.user)
        return subprocess.run(
            [
                *("nsenter", "--target", str(self.pid), "--mount", "--pid"),
                *("--setgid", gid, "--setuid", uid, "--", *command),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environ(),
            check=False,
        )

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        return self.execute(*self._dockerfile.health)

    def is_healthy(self) -> bool:
        """Whether the health check passes; an error if the task has ended."""
        if self._outer is not None and self._outer.poll() is not None:
            raise AssertionError(f"the task has ended with {self._outer.returncode}: {self.log()}")
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
        assert self._outer is not None
        return self._outer.wait(bound_s)

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
        outer, self._outer = self._outer, None
        if outer is not None:
            if outer.poll() is None:
                outer.kill()  # and with it the first process, and all that is in there
            outer.wait()
            wait_until(lambda: not Path(f"/proc/{self.pid}").exists(), "the task to be gone")
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
