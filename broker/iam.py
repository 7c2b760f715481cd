"""RDS's tokens: what logs in where BROKER_AUTH=iam, signed without an SDK.

Signing takes a millisecond; importing an SDK for it, over a hundred of a cold start (FACTS 9).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from urllib.parse import quote

from broker.deadline import Clock, Deadline
from broker.errors import ConfigurationError
from broker.login import Login
from broker.settings import Settings
from broker.sigv4 import (
    ALGORITHM,
    Keys,
    NoKeys,
    Scope,
    canonical_request,
    keys_from,
    region_from,
    signature,
)

VALID_S = 900  # RDS: "An authentication token is … valid for 15 minutes", checked at connect
KEPT_S = 840.0  # a minute is left for clocks that disagree and for connecting
SURELY_GOOD_S = 60.0  # a refused token that is younger is not refused for its age
HTTPS_PORT = 443  # which a Host header leaves out


class Iam:
    """Logs in with a token; the server checks that AWS allows rds-db:connect."""

    life_s = KEPT_S

    def __init__(
        self, settings: Settings, clock: Clock, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._environ = environ

    def obtain(self, refused: Login | None, deadline: Deadline) -> Login:  # noqa: ARG002  no I/O
        """Sign a token. Raises ConfigurationError where there is no region or no keys."""
        now = self._clock.now()
        if refused is not None and now.since(refused.obtained_at) < SURELY_GOOD_S:
            return refused
        region = region_from(self._environ, "BROKER_AUTH=iam")
        try:
            keys = keys_from(self._environ)
        except NoKeys as error:
            raise ConfigurationError(f"BROKER_AUTH=iam: {error}") from error
        settings, moment = self._settings, time.gmtime(now.wall_s)
        text = token(settings.host, settings.port, settings.user, region, keys, moment)
        return Login(settings, text, now)


def token(host: str, port: int, user: str, region: str, keys: Keys, now: time.struct_time) -> str:
    """Return the password for this user there: botocore's generate_db_auth_token, to the letter.

    It is a presigned URL without its scheme.
    """
    scope = Scope.at(now, region, "rds-db")
    query = {
        "Action": "connect",
        "DBUser": user,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": scope.stamp,
        "X-Amz-Expires": str(VALID_S),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.session:
        query["X-Amz-Security-Token"] = keys.session
    name = host.lower() if port == HTTPS_PORT else f"{host.lower()}:{port}"
    canonical, _ = canonical_request(
        "GET", _encoded(dict(sorted(query.items()))), {"host": name}, b""
    )
    signed = signature(canonical, keys, scope)
    return f"{host}:{port}/?{_encoded(query)}&X-Amz-Signature={signed}"


def _encoded(query: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in query.items())
