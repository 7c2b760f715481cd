"""AWS's JSON services, as Secrets Manager and DynamoDB are: where one is, and what it answered."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """The service answered with an error; `code` is its name, such as ThrottlingException."""

    def __init__(self, code: str, message: str, status: int = http.client.BAD_REQUEST) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.status = status


def endpoint(service: str, region: str, environ: Mapping[str, str]) -> str:
    """Return the URL of a region's service, such as "dynamodb".

    The variables that the SDKs share go before it: AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL.
    """
    named = f"AWS_ENDPOINT_URL_{_VARIABLES[service]}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    given = environ.get(named) or environ.get("AWS_ENDPOINT_URL")
    return given or f"https://{service}.{region}.{suffix}"


_VARIABLES = {"secretsmanager": "SECRETS_MANAGER", "dynamodb": "DYNAMODB"}


def body_of(status: int, text: bytes) -> dict[str, Any]:
    """Return the JSON object that came; {} for what is none. Raises Refused for an error."""
    try:
        body = json.loads(text or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    if status == http.client.OK:
        return body
    code = str(body.get("__type", "")).rpartition("#")[2] or f"HTTP {status}"
    raise Refused(code, str(body.get("message") or body.get("Message") or ""), status)
