"""Whether tasks hold secrets that have changed since they started.

Secrets Manager's calls reach EventBridge through CloudTrail, where a trail is on; a schedule finds
what no event told. A role's password is told of by the provisioner, once the role has it: tasks
with a password that the role has not yet cannot log in. Sources: "Match AWS Secrets Manager events
with Amazon EventBridge" (Secrets Manager User Guide), which also says that some events write arn as
aRN; "Capturing records of Lambda asynchronous invocations" (Lambda Developer Guide).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

CURRENT = "AWSCURRENT"
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


def roles_given_at(event: Mapping[str, Any]) -> datetime | None:
    """Return as of when the provisioner says that it has given the roles their passwords, or None.

    It is called with Lambda's record of each success; others of its answers have no such time.
    """
    answer = event.get("responsePayload")
    told = answer.get("as_of") if isinstance(answer, Mapping) else None
    return datetime.fromisoformat(told) if told else None


def reason_to_roll(
    started: datetime,
    of_roles: Mapping[str, datetime],
    others: Mapping[str, datetime],
    given_at: datetime | None,
) -> str | None:
    """Return which secret changed after the tasks' deployment began, or None, also where to wait.

    In the same second counts as after: to roll once too often harms nobody. While the roles may
    not have what theirs holds, which is what changed after `given_at`, no task is started: the
    provisioner's next success comes with a later one.
    """
    began = started.replace(microsecond=0)
    of_roles, others = (
        {arn: at for arn, at in each.items() if at >= began} for each in (of_roles, others)
    )
    if any(given_at is None or at > given_at for at in of_roles.values()):
        return None
    return next(iter((*of_roles, *others)), None)


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
