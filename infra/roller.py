"""Roller: replaces the poolers' tasks when one of their secrets has a new value."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from . import places
from .bundling import asset
from .function import function_role, log_group
from .package import Package

HANDLER = "lambdas.roller.handler"
EVENTS = ("PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage", "RotationSucceeded")


class Roller(Construct):
    """A function outside of the VPC that may force a new deployment of one service."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: ecs.FargateService,
        secrets: Sequence[secretsmanager.ISecret],
    ) -> None:
        super().__init__(scope, id)
        logged = log_group(self)
        role = function_role(self, logged, in_vpc=False)
        role.add_to_policy(
            iam.PolicyStatement(actions=["ecs:UpdateService"], resources=[service.service_arn])
        )
        function = lambda_.Function(
            self,
            "Function",
            description="Replaces the poolers' tasks when a secret of theirs changes",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=HANDLER,
            code=asset(roller_package(), places.lambdas()),
            timeout=Duration.seconds(30),
            role=role,
            log_group=logged,
            environment={
                "ECS_CLUSTER": service.cluster.cluster_arn,
                "ECS_SERVICE": service.service_arn,
            },
        )
        arns = [secret.secret_arn for secret in secrets]
        events.Rule(
            self,
            "Changed",
            description="A secret of the poolers has a new value",
            event_pattern=events.EventPattern(
                source=["aws.secretsmanager"],
                detail_type=["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"],
                detail={
                    "eventName": list(EVENTS),
                    "$or": [
                        {"requestParameters": {"secretId": arns}},
                        {"additionalEventData": {"SecretId": arns}},
                    ],
                },
            ),
            targets=[targets.LambdaFunction(function)],
        )


def roller_package() -> Package:
    """Return what its zip holds; boto3 is the runtime's own."""
    return Package(
        folders={"lambdas/roller": places.lambdas() / "roller"},
        texts={"lambdas/__init__.py": ""},
    )
