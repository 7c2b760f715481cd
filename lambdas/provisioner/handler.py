"""The provisioner's handler: CloudFormation's requests, and the daily look at the certificate."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .answer import send
from .bounded import bounded
from .request import Request
from .resources import Resources

ANSWER_S = 5.0  # of the function's time, kept for the answer

logging.getLogger("provisioner").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """Answer CloudFormation in any case; or, for {"Renew": properties}, renew if need be."""
    if "Renew" in event:
        return Resources.of(context).renew(event["Renew"])
    request = Request.read(event)
    answer = bounded(
        lambda: Resources.of(context).carry_out(request),
        context.get_remaining_time_in_millis() / 1000 - ANSWER_S,
        context.log_stream_name,
    )
    send(request, answer)
    return {"status": "failed" if answer.failed else "done"}
