"""Whether tasks hold secrets that have changed since they started.

Secrets Manager's calls reach EventBridge through CloudTrail, where a trail is on; a schedule finds
what no event told. Source: "Match AWS Secrets Manager events with Amazon EventBridge" (Secrets
Manager User Guide), which also says that some events write arn as aRN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

CURRENT = "AWSCURRENT"
SETTLED = timedelta(minutes=65)  # by then the provisioner, which looks hourly, has seen it too
SUFFIX = 7  # a hyphen and six characters, which follow the name in an ARN


def changed_secret(event: Mapping[str, Any], arns: Sequence[str]) -> str | None:
    """Return which of these secrets the event says has another current version, or None."""
    detail = event.get("detail")
    if not isinstance(detail, Mapping) or detail.get("errorCode") or not _changes_current(detail):
        return None
    told = {
        str(value)
        for part in ("requestParameters", "additionalEventData", "responseElements")
        for key, value in _lower(detail.get(part)).items()
        if key in ("secretid", "arn")
    }
    return next((arn for arn in arns if told & {arn, _name(arn)}), None)


def secret_changed_since(
    started: datetime, changes: Mapping[str, datetime], now: datetime
) -> str | None:
    """Return which of these secrets changed after the tasks' deployment began, or None.

    In the same second counts as after: to roll once too often harms nobody. A change that is not
    SETTLED waits for the next look: tasks with a password that the role has not yet cannot log in.
    """
    began, settled = started.replace(microsecond=0), now - SETTLED
    return next((arn for arn, at in changes.items() if began <= at <= settled), None)


def _changes_current(detail: Mapping[str, Any]) -> bool:
    """Tell whether the call, or the end of a rotation, moves AWSCURRENT."""
    given = _lower(detail.get("requestParameters"))
    name = detail.get("eventName")
    if name == "UpdateSecretVersionStage":
        return given.get("versionstage") == CURRENT
    if name == "PutSecretValue":
        return CURRENT in (given.get("versionstages") or (CURRENT,))
    return name in ("UpdateSecret", "RotationSucceeded")


def _lower(part: object) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in part.items()} if isinstance(part, Mapping) else {}


def _name(arn: str) -> str:
    return arn.rpartition(":secret:")[2][:-SUFFIX]
