"""DynamoDB as moto serves it, in a process of its own, one request at a time.

moto looks at a write's condition and then writes, and lets another request in between; the real
one does both at once, which is all that a lease rests on.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class OneAtATime:
    """A WSGI application that is in no two requests at once."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, with nobody else in it."""
        with self._lock:
            return list(self._app(environ, start_response))


@contextmanager
def dynamodb(table: str, region: str = "eu-west-1") -> Iterator[str]:
    """Yield the URL of a DynamoDB on loopback that has the table of leases; S3 is there as well."""
    from broker.aws_json import Refused
    from broker.cap.dynamodb import DynamoDb, Unanswered
    from broker.cap.table import SCHEMA
    from broker.sigv4 import Keys
    from tests.wait import wait_until

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, Path(__file__), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def up() -> bool:
        try:
            client = DynamoDb(region, url, lambda: Keys("a", "b"))
            client.call("CreateTable", {"TableName": table, **SCHEMA}, 5)
        except Unanswered:
            return False
        except Refused as refused:  # what came too late was done all the same
            return refused.code == "ResourceInUseException"
        return True

    try:
        wait_until(up, "moto's server", timeout_s=120)
        yield url
    finally:
        server.kill()
        server.wait()


def main(port: int) -> None:
    """Serve until killed."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    app: Any = DomainDispatcherApplication(create_backend_app)
    make_server(
        "127.0.0.1", port, OneAtATime(app), threaded=True, request_handler=MotoRequestHandler
    ).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
