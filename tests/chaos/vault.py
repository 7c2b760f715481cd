"""Secrets on loopback: Secrets Manager, and Lambda's extension, which gives the current version.

Each environment has an extension of its own, and asks it when it starts: nothing is cached then.

Source: "Use AWS Secrets Manager secrets in AWS Lambda functions" and the API reference's
GetSecretValue (Secrets Manager User Guide).
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

REGION = "eu-west-1"


class _Server(ThreadingHTTPServer):
    """Says nothing of a client that is gone: environments are killed in the middle of asking."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is wrong with the vault itself, and nothing else."""
        gone = isinstance(sys.exception(), (ConnectionError, json.JSONDecodeError))
        if not gone:
            super().handle_error(request, client_address)


class Vault:
    """The passwords of some users, each a secret of its own, in every stage of a rotation."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self.current = dict(passwords)
        self.pending: dict[str, str] = {}
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                [arn] = parse_qs(urlsplit(self.path).query)["secretId"]
                self._answer(vault.current.get(user_of(arn)), arn)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stage = vault.pending if asked["VersionStage"] == "AWSPENDING" else vault.current
                self._answer(stage.get(user_of(asked["SecretId"])), asked["SecretId"])

            def _answer(self, password: str | None, arn: str) -> None:
                found = password is not None
                body: dict[str, Any] = {"__type": "ResourceNotFoundException"}
                if found:
                    secret = {"username": user_of(arn), "password": password}
                    body = {"ARN": arn, "SecretString": json.dumps(secret)}
                data = json.dumps(body).encode()
                self.send_response(200 if found else 400)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def variables(self, user: str) -> dict[str, str]:
        """Return what an environment needs to read this user's secret."""
        port = self._server.server_port
        return {
            "BROKER_SECRET_ARN": f"arn:aws:secretsmanager:{REGION}:000000000000:secret:{user}",
            "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(port),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_SESSION_TOKEN": "none",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def finish(self) -> None:
        """Make the pending passwords the current ones."""
        self.current |= self.pending
        self.pending = {}


def user_of(arn: str) -> str:
    """Return whose secret this is."""
    return arn.rpartition(":")[2]
