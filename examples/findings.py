"""Findings of cdk-nag that stand in the examples, each with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds

BASIC = "service-role/AWSLambdaBasicExecutionRole"


def acknowledge_logs(fn: lambda_.Function) -> None:
    """Let the function's role stand: writing logs is all that the policy allows."""
    rule = f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{BASIC}]"
    reason = "The CDK's default for a function: it writes logs and does no more."
    Validations.of(fn).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_port(database: rds.DatabaseInstance | rds.DatabaseCluster) -> None:
    """Let the database's port stand."""
    reason = "5432 is no secret: security groups and roles keep others out."
    Validations.of(database).acknowledge(Acknowledgment(id="AwsSolutions-RDS11", reason=reason))
