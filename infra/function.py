"""Function: the role and the logs of a function of the broker's own."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from .acknowledge import acknowledge

NETWORK_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda does in a VPC on the function's behalf; EC2 knows no narrower resource for it."""


def log_group(scope: Construct) -> logs.LogGroup:
    """Return a log group that goes with the stack."""
    return logs.LogGroup(
        scope,
        "Logs",
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )


def function_role(scope: Construct, logged: logs.LogGroup, *, in_vpc: bool) -> iam.Role:
    """Return a role that may write these logs, and have network interfaces where it is in a VPC."""
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    logged.grant_write(role)
    if in_vpc:
        role.add_to_policy(iam.PolicyStatement(actions=list(NETWORK_ACTIONS), resources=["*"]))
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "Network interfaces are Lambda's own; EC2 has no narrower resource for them.",
        )
    return role
