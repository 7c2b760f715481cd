"""The AWS Parameters and Secrets extension's protocol, served on loopback.

Source: "Use AWS Secrets Manager secrets in AWS Lambda functions" (Secrets Manager User Guide).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "session-token"


class Extension:
    """Answers with what it was given, and goes on doing so: it caches for 5 minutes."""

    def __init__(self, arn: str, secret: str) -> None:
        self.arn = arn
        self.secret = secret
        self.status = 200
        self.asked = 0
        extension = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                extension.asked += 1
                status, body = extension.answer(self.path, dict(self.headers))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        url = urlsplit(path)
        if url.path != "/secretsmanager/get":
            return 404, {"message": "not found"}
        if headers.get("X-Aws-Parameters-Secrets-Token") != TOKEN:
            return 401, {"message": "unauthorized"}
        if parse_qs(url.query) != {"secretId": [self.arn]}:
            return 400, {"message": "bad request"}
        return self.status, {"ARN": self.arn, "SecretString": self.secret}

    @property
    def environ(self) -> dict[str, str]:
        """What Lambda and the extension's layer set."""
        return {
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_SESSION_TOKEN": TOKEN,
            "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(self._server.server_port),
        }

    def __enter__(self) -> Extension:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
