"""IamLogin: the ARN of a database's user, which rds-db:connect names."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from .access import Grant


def dbuser_arn(scope: Construct, resource_id: str, user: str) -> str:
    """Return the ARN of this user of this database, or proxy."""
    return Stack.of(scope).format_arn(
        service="rds-db",
        resource="dbuser",
        resource_name=f"{resource_id}/{user}",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def connect_as(scope: Construct, resource_id: str) -> Grant:
    """Return a grant that lets a function log in at the database as one user."""

    def grant(grantee: iam.IGrantable, user: str) -> object:
        arn = dbuser_arn(scope, resource_id, user)
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=["rds-db:connect"], resource_arns=[arn]
        )

    return grant
