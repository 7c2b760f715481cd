"""Roller: replaces the poolers' tasks when one of their secrets has a new value.

It is told of a role's new password by the provisioner, which gives it to the role first.
"""

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
from .changes import on_change
from .function import function_role, log_group
from .package import Package

HANDLER = "lambdas.roller.handler.handler"
LOOK_EVERY_H = 1  # for what no event told: the account may have no trail


class Roller(Construct):
    """A function outside of the VPC that may force a new deployment of one service.

    `of_roles` are the secrets whose passwords `provisioner` gives to the server's roles.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: ecs.FargateService,
        provisioner: lambda_.Function,
        of_roles: Sequence[secretsmanager.ISecret],
        others: Sequence[secretsmanager.ISecret],
    ) -> None:
        super().__init__(scope, id)
        logged = log_group(self)
        role = function_role(self, logged, in_vpc=False)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ecs:UpdateService", "ecs:DescribeServices"],
                resources=[service.service_arn],
            )
        )
        roles_arns = [secret.secret_arn for secret in of_roles]
        arns = [secret.secret_arn for secret in others]
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["secretsmanager:DescribeSecret"], resources=[*roles_arns, *arns]
            )
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
                "CLUSTER": service.cluster.cluster_arn,
                "SERVICE": service.service_arn,
                "ROLE_SECRET_ARNS": " ".join(roles_arns),
                "SECRET_ARNS": " ".join(arns),
            },
        )
        on_change(self, "Changed", arns, targets.LambdaFunction(function))
        look = events.Rule(
            self,
            "Look",
            description="Looks for a change that no event told of",
            schedule=events.Schedule.rate(Duration.hours(LOOK_EVERY_H)),
            targets=[targets.LambdaFunction(function)],
        )
        self._follow(provisioner, function, meanwhile=look)

    def _follow(
        self, provisioner: lambda_.Function, function: lambda_.Function, *, meanwhile: events.Rule
    ) -> None:
        """Have Lambda call the function with each success of the provisioner's.

        The right to is a policy of its own: in the provisioner's, the roles would wait for the
        service, which waits for the roles. Lambda asks for it at once, and IAM needs some seconds
        to tell of it everywhere, so `meanwhile` is made between the two.
        """
        assert provisioner.role is not None  # noqa: S101  infra/function.py gave it one
        may = iam.Policy(
            self,
            "MayCall",
            roles=[provisioner.role],
            statements=[
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"], resources=[function.function_arn]
                )
            ],
        )
        config = lambda_.CfnEventInvokeConfig(
            self,
            "AfterProvisioner",
            function_name=provisioner.function_name,
            qualifier="$LATEST",
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_success=lambda_.CfnEventInvokeConfig.OnSuccessProperty(
                    destination=function.function_arn
                )
            ),
        )
        meanwhile.node.add_dependency(may)
        config.node.add_dependency(meanwhile)


def roller_package() -> Package:
    """Return what its zip holds; boto3 is the runtime's own."""
    return Package(
        folders={"lambdas/roller": places.lambdas() / "roller"},
        texts={"lambdas/__init__.py": ""},
    )
