"""DynamoDB's JSON API over one HTTPS request at a time, signed here.

Loading botocore and making a client takes 170 ms of a cold start, this module 20 (docs/cap.md). It
also keeps what a lease needs and an SDK hides: each request's own time limit, no hidden retries,
and the answer's Date. Sources: "Signature Version 4 for API requests" (IAM User Guide), "DynamoDB
low-level API" (Developer Guide).
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from broker.errors import ConfigurationError

ANSWER_S = 1.0  # an answer takes some 5 ms; the clocks' check counts on no more than this
CONNECT_S = 3.0  # TLS on Lambda's smallest share of a processor
SPARE_FOR_S = 3.0  # for how long a connection is used again; one from before a freeze is not
_TYPE = "application/x-amz-json-1.0"


class Keys(NamedTuple):
    """AWS credentials."""

    access: str
    secret: str
    session: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access!r})"


class Answer(NamedTuple):
    """What came back: JSON, and when the wall clock read what around it."""

    status: int
    body: dict[str, Any]
    before_s: float
    after_s: float
    date_s: float | None


class Refused(Exception):
    """The service answered with an error; `code` is its name, such as ThrottlingException."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class Unanswered(Exception):
    """No answer came, or too late: the request may have been carried out or not."""


def keys_from(environ: Mapping[str, str] = os.environ) -> Keys:
    """Return the environment's keys, as Lambda gives them; elsewhere, those that botocore finds."""
    if "AWS_ACCESS_KEY_ID" in environ:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return Keys(environ[names[0]], environ.get(names[1], ""), environ.get(names[2]))
    # Late for its weight; under SnapStart and in containers there are no such variables.
    import botocore.session  # type: ignore[import-untyped]

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise Refused("NoCredentials", "no AWS credentials in the environment")
    frozen = found.get_frozen_credentials()
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def signed(
    target: str, body: bytes, host: str, region: str, keys: Keys, now: time.struct_time
) -> dict[str, str]:
    """Return the headers of a POST of `body` to /, Signature Version 4."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    headers = {
        "content-type": _TYPE,
        "host": host,
        "x-amz-date": stamp,
        "x-amz-target": f"DynamoDB_20120810.{target}",
    }
    if keys.session:
        headers["x-amz-security-token"] = keys.session
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        (
            *("POST", "/", ""),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            *("", names, hashlib.sha256(body).hexdigest()),
        )
    )
    scope = f"{stamp[:8]}/{region}/dynamodb/aws4_request"
    text = "\n".join(
        ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    key = b"AWS4" + keys.secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers


class DynamoDb:
    """Calls to one region's DynamoDB. Thread-safe; each call stands for one request, never two."""

    def __init__(
        self,
        region: str,
        endpoint: str | None = None,
        keys: Callable[[], Keys] = keys_from,
    ) -> None:
        self._region = region
        self._url = urlsplit(endpoint or f"https://dynamodb.{region}.amazonaws.com")
        self._keys = keys
        self._context: ssl.SSLContext | None = None
        self._spare: list[tuple[float, http.client.HTTPConnection]] = []

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> DynamoDb:
        """Return the region's, as the variables say that Lambda and the SDKs share.

        Raises ConfigurationError where none names a region.
        """
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise ConfigurationError(
                "AWS_REGION is missing from the environment, and BROKER_CAP_TABLE is in a region; "
                "for example AWS_REGION=eu-west-1"
            )
        names = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
        return cls(region, next((environ[n] for n in names if environ.get(n)), None))

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
        return Answer(response.status, _parsed(response.status, text), before_s, after_s, date_s)

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


def _parsed(status: int, text: bytes) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(text or b"{}")
    except ValueError:
        body = {}
    if status == http.client.OK:
        return body
    code = str(body.get("__type", "")).rpartition("#")[2] or f"HTTP {status}"
    raise Refused(code, str(body.get("message") or body.get("Message") or ""))
