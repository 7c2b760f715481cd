"""The AWS emulator as a child process on loopback, and clients of it."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from broker.local.process import LOOPBACK, ServerProcess, free_port

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".setup" / "emulator" / "bin" / "python"
ACCOUNT = "123456789012"
REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "emulator"}
NO_CREDENTIALS_BUT_THESE = {
    **KEYS,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Emulator:
    """One emulator with its own directory; `with` starts it and leaves nothing behind.

    `database_password` is what RDS' managed secrets hold. `names` are the VPC's: a name's end →
    the address and port on loopback that stand for it. `authorities` is the file of those that a
    function's system trusts. IAM is enforced: who calls needs a policy that says so.
    """

    def __init__(
        self,
        *,
        database_password: str,
        names: Mapping[str, tuple[str, int]] | None = None,
        authorities: Path | None = None,
    ) -> None:
        self._port = free_port()
        self.login_port = free_port()
        """Where a PostgreSQL asks, over LDAP, whether a token of IAM's is good."""
        self._given = {
            "EMULATOR_DATABASE_PASSWORD": database_password,
            "EMULATOR_NETWORK": json.dumps(names or {}),
            "EMULATOR_LOGIN_PORT": str(self.login_port),
            **({"SSL_CERT_FILE": str(authorities)} if authorities else {}),
        }

    def __enter__(self) -> Self:
        assert PYTHON.exists(), f"{PYTHON} is not there: run `make deploy-test`, which makes it"
        self._server = ServerProcess("aws", environment=self._environment(), as_us=True)
        try:
            scratch = self._server.directory  # all that it writes goes with it
            words = [f"{name}={scratch}" for name in ("TMPDIR", "HOME", "STATE_DIR")]
            self._server.start(
                ["/usr/bin/env", *words, PYTHON, "-m", "tests.deployment.emulator"],
                ready=lambda _log: self._answers(),
                stop_signal=signal.SIGTERM,
            )
        except BaseException:
            self._server.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()  # at once: what it knows goes with it

    def _environment(self) -> dict[str, str]:
        return {
            **NO_CREDENTIALS_BUT_THESE,
            **self._given,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "INFO",
            "AUTH": "true",
        }

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self._port)) == 0

    @property
    def url(self) -> str:
        """Where every service answers."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """The process, whose group has the functions' processes, too."""
        return self._server.pid

    def environment(self) -> dict[str, str]:
        """Return what makes an AWS tool talk to the emulator and to nobody else."""
        return {
            **NO_CREDENTIALS_BUT_THESE,
            "AWS_ENDPOINT_URL": self.url,
            # The emulator takes the first label of any other name for a bucket's.
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"http://localhost:{self._port}",
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of the service."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
        )

    def log_tail(self, lines: int = 40) -> str:
        """Return the end of the emulator's log."""
        return self._server.log_tail(lines)
