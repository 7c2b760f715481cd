"""AWS's Signature Version 4, without an SDK: the keys, and what is signed with them.

Source: "Signature Version 4 for API requests" (IAM User Guide).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from broker.errors import ConfigurationError

ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(NamedTuple):
    """AWS credentials."""

    access: str
    secret: str
    session: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access!r})"


class NoKeys(Exception):
    """Nothing here knows any AWS credentials."""

    def __init__(self) -> None:
        super().__init__(
            "no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY): "
            "on Lambda, the function's role gives them"
        )


def keys_from(environ: Mapping[str, str] = os.environ) -> Keys:
    """Return the environment's keys, as Lambda gives them; elsewhere, those that botocore finds.

    Raises NoKeys.
    """
    if "AWS_ACCESS_KEY_ID" in environ:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return Keys(environ[names[0]], environ.get(names[1], ""), environ.get(names[2]))
    # Late for its weight; under SnapStart and in containers there are no such variables.
    import botocore.session  # type: ignore[import-untyped]

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise NoKeys
    frozen = found.get_frozen_credentials()
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def region_from(environ: Mapping[str, str], wanted_by: str) -> str:
    """Return the region that the variables name which Lambda and the SDKs share.

    Raises ConfigurationError, which names the setting that wants one, where there is none.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigurationError(
            f"AWS_REGION is missing from the environment, and {wanted_by} is in a region; "
            "for example AWS_REGION=eu-west-1"
        )
    return region


class Scope(NamedTuple):
    """When, where and for which service a signature holds."""

    stamp: str
    """The moment as 20231114T221320Z."""
    region: str
    service: str

    @classmethod
    def at(cls, now: time.struct_time, region: str, service: str) -> Scope:
        """Return the scope of a signature made now, in UTC."""
        return cls(time.strftime("%Y%m%dT%H%M%SZ", now), region, service)

    def __str__(self) -> str:
        return f"{self.stamp[:8]}/{self.region}/{self.service}/aws4_request"


def canonical_request(
    method: str, query: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, str]:
    """Return the text that stands for a request of /, and the names of its headers.

    `query` is in its canonical form already, and so are the headers' names and values.
    """
    names = ";".join(sorted(headers))
    lines = (f"{name}:{headers[name]}" for name in sorted(headers))
    text = "\n".join((method, "/", query, *lines, "", names, hashlib.sha256(body).hexdigest()))
    return text, names


def signature(canonical: str, keys: Keys, scope: Scope) -> str:
    """Return the signature of a canonical request, in hexadecimal."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((ALGORITHM, scope.stamp, str(scope), digest))
    key = b"AWS4" + keys.secret.encode()
    for part in str(scope).split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def signed_post(
    headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope
) -> dict[str, str]:
    """Return the headers of a POST of `body` to /, and with them what signs it.

    `headers` has the host and the names of the rest in small letters.
    """
    signing = {**headers, "x-amz-date": scope.stamp}
    if keys.session:
        signing["x-amz-security-token"] = keys.session
    canonical, names = canonical_request("POST", "", signing, body)
    signing["authorization"] = (
        f"{ALGORITHM} Credential={keys.access}/{scope}, "
        f"SignedHeaders={names}, Signature={signature(canonical, keys, scope)}"
    )
    return signing
