"""Changes: what Secrets Manager tells EventBridge, through CloudTrail, of a secret's new value."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_events as events
from constructs import Construct

EVENTS = ("PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage", "RotationSucceeded")
ARN_IN = (  # a call may name the secret by its name alone; the answer has the ARN, in either case
    ("responseElements", "arn"),
    ("responseElements", "aRN"),
    ("requestParameters", "secretId"),
    ("additionalEventData", "SecretId"),
)


def on_change(
    scope: Construct, id: str, secret_arns: Sequence[str], target: events.IRuleTarget
) -> events.Rule:
    """Call the target when one of these secrets has a new value."""
    arns = list(secret_arns)
    return events.Rule(
        scope,
        id,
        description="A secret has a new value",
        event_pattern=events.EventPattern(
            source=["aws.secretsmanager"],
            detail_type=["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"],
            detail={
                "eventName": list(EVENTS),
                "$or": [{part: {key: arns}} for part, key in ARN_IN],
            },
        ),
        targets=[target],
    )
