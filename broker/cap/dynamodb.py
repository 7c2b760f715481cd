"""DynamoDB's JSON API over one HTTPS request at a time, signed here.

Loading botocore and making a client takes 170 ms of a cold start, this module 20 (docs/cap.md). It
also keeps what a lease needs and an SDK hides: each request's own time limit, no hidden retries,
and the answer's Date. Source: "DynamoDB low-level API" (Developer Guide).
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from broker.aws_json import Refused, body_of, endpoint
from broker.sigv4 import Keys, NoKeys, Scope, keys_from, region_from, signed_post

ANSWER_S = 1.0  # an answer takes some 5 ms; the clocks' check counts on no more than this
CONNECT_S = 3.0  # TLS on Lambda's smallest share of a processor
SPARE_FOR_S = 3.0  # for how long a connection is used again; one from before a freeze is not
_TYPE = "application/x-amz-json-1.0"


class Answer(NamedTuple):
    """What came back: JSON, and when the wall clock read what around it."""

    status: int
    body: dict[str, Any]
    before_s: float
    after_s: float
    date_s: float | None


class Unanswered(Exception):
    """No answer came, or too late: the request may have been carried out or not."""


def signed(
    target: str, body: bytes, host: str, region: str, keys: Keys, now: time.struct_time
) -> dict[str, str]:
    """Return the headers of a POST of `body` to /, Signature Version 4."""
    headers = {
        "content-type": _TYPE,
        "host": host,
        "x-amz-target": f"DynamoDB_20120810.{target}",
    }
    return signed_post(headers, body, keys, Scope.at(now, region, "dynamodb"))


class DynamoDb:
    """Calls to one region's DynamoDB. Thread-safe; each call stands for one request, never two."""

    def __init__(
        self,
        region: str,
        url: str,
        keys: Callable[[], Keys] = keys_from,
    ) -> None:
        self._region = region
        self._url = urlsplit(url)
        self._keys = keys
        self._context: ssl.SSLContext | None = None
        self._spare: list[tuple[float, http.client.HTTPConnection]] = []

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> DynamoDb:
        """Return the region's, as the variables say that Lambda and the SDKs share.

        Raises ConfigurationError where none names a region.
        """
        region = region_from(environ, "BROKER_CAP_TABLE")
        return cls(region, endpoint("dynamodb", region, environ))

    def __repr__(self) -> str:
        return f"<DynamoDb {self._url.netloc}>"

    def call(self, target: str, body: Mapping[str, Any], within_s: float) -> Answer:
        """Return the answer; raises Refused with the service's error, or Unanswered."""
        data = json.dumps(body).encode()
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connection(min(within_s, CONNECT_S))
            before_s, started_s = time.time(), time.monotonic()
            connection.sock.settimeout(max(min(within_s, ANSWER_S), 0.001))
            headers = signed(
                target, data, self._url.netloc, self._region, self._keys(), time.gmtime(before_s)
            )
            connection.request("POST", "/", data, headers)
            response = connection.getresponse()
            text = response.read()
        except NoKeys as error:
            raise Refused("NoCredentials", str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            raise Unanswered(f"{self._url.netloc}: {error or type(error).__name__}") from error
        after_s, took_s = time.time(), time.monotonic() - started_s
        self._keep(connection, response)
        if took_s > ANSWER_S:
            raise Unanswered(f"{self._url.netloc} answered only after {took_s:.1f} s")
        date = response.headers.get("date")
        date_s = parsedate_to_datetime(date).timestamp() if date else None
        return Answer(response.status, body_of(response.status, text), before_s, after_s, date_s)

    def _connection(self, within_s: float) -> http.client.HTTPConnection:
        while self._spare:
            since_s, spare = self._spare.pop()
            # Wall time: whether the monotonic clock counts a freeze is not known (FACTS 3).
            if 0 <= time.time() - since_s < SPARE_FOR_S:
                return spare
            spare.close()
        host, port, within_s = self._url.hostname or "", self._url.port, max(within_s, 0.001)
        connection: http.client.HTTPConnection
        if self._url.scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=within_s)
        else:
            self._context = self._context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, port, timeout=within_s, context=self._context
            )
        connection.connect()
        return connection

    def _keep(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        if response.will_close:
            connection.close()
        else:
            self._spare.append((time.time(), connection))

    def close(self) -> None:
        """Let go of the connections that are kept."""
        while self._spare:
            self._spare.pop()[1].close()
