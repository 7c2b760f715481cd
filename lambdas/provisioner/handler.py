"""The provisioner's handler: CloudFormation's requests, and what comes by itself afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .answer import send
from .bounded import bounded
from .request import Request
from .resources import Resources

ANSWER_S = 5.0  # of the function's time, kept for the answer

logging.getLogger("provisioner").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """Answer CloudFormation in any case.

    {"Renew": properties} renews a certificate if need be, and {"Roles": properties} makes the roles
    so again, with the passwords that their secrets have now; both raise what fails. Where the roles
    have got their passwords, the answer's `as_of` is the time whose passwords, or newer ones.
    """
    as_of = {"as_of": datetime.now(UTC).isoformat()}
    if "Renew" in event:
        return Resources.of(context).renew(event["Renew"])
    if "Roles" in event:
        return Resources.of(context).make_roles_so(event["Roles"]) | as_of
    request = Request.read(event)
    answer = bounded(
        lambda: Resources.of(context).carry_out(request),
        context.get_remaining_time_in_millis() / 1000 - ANSWER_S,
        context.log_stream_name,
    )
    send(request, answer)
    if answer.failed:
        return {"status": "failed"}
    return {"status": "done"} | (as_of if request.gives_passwords else {})
