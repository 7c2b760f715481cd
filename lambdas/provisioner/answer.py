"""The answer that CloudFormation waits for, and how it gets there.

Source: "Custom resource response objects" (CloudFormation Template Reference).
"""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.error import HTTPError
from urllib.parse import urlsplit

from .refusal import one_line
from .request import CREATE, FAILED_CREATE, Request

log = logging.getLogger("provisioner")

ATTEMPTS = 4
ATTEMPT_S = 3.0  # the longest; S3 answers in some 50 ms
PAUSE_S = 0.2  # after the first attempt; twice as long after each


@dataclass(frozen=True)
class Answer:
    """SUCCESS with attributes, or FAILED with the reason."""

    reason: str = ""
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there is a reason why not."""
        return bool(self.reason)

    def body(self, request: Request) -> bytes:
        """Return what is sent: at most 4096 bytes."""
        suffix = FAILED_CREATE if self.failed and request.kind == CREATE else ""
        told = {
            "Status": "FAILED" if self.failed else "SUCCESS",
            "Reason": one_line(self.reason),
            "PhysicalResourceId": request.physical_id + suffix,
            "StackId": request.stack_id,
            "RequestId": request.request_id,
            "LogicalResourceId": request.logical_id,
            "NoEcho": False,
            "Data": dict(self.data),
        }
        return json.dumps(told, ensure_ascii=False).encode()


def send(request: Request, answer: Answer, pause: Callable[[float], object] = time.sleep) -> None:
    """Put the answer where CloudFormation looks for it; raises OSError after some attempts."""
    body = answer.body(request)
    for attempt in range(ATTEMPTS):
        put = urllib.request.Request(  # noqa: S310  CloudFormation's own address
            request.response_url, body, {"Content-Type": ""}, method="PUT"
        )
        try:
            with urllib.request.urlopen(put, timeout=ATTEMPT_S):  # noqa: S310
                return
        except (OSError, http.client.HTTPException) as error:
            why = str(error.code) if isinstance(error, HTTPError) else type(error).__name__
            host = urlsplit(request.response_url).hostname  # the rest of the address is a key
            log.warning("answering %s: %s, attempt %d", host, why, attempt + 1)
            if attempt + 1 == ATTEMPTS:
                raise OSError(f"{host} did not take the answer: {why}") from None
        pause(PAUSE_S * 2.0**attempt)
