"""Secrets: a user and a password for each role of each hop."""

from __future__ import annotations

import json
from collections.abc import Iterable

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .acknowledge import acknowledge

PASSWORD_LENGTH = 40


class Login(secretsmanager.Secret):
    """JSON {username, password}; the password is made by Secrets Manager and seen by nobody."""

    def __init__(self, scope: Construct, id: str, *, user: str, description: str) -> None:
        super().__init__(
            scope,
            id,
            description=description,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": user}),
                generate_string_key="password",
                password_length=PASSWORD_LENGTH,
                exclude_punctuation=True,
            ),
        )
        acknowledge(
            self,
            "AwsSolutions-SMG4",
            "Rotated by a new value: the provisioner gives it to the role, and the roller "
            "to the tasks (docs/rotate.md). A schedule would be the user's to choose.",
        )


def logins(scope: Construct, kind: str, users: Iterable[str], description: str) -> dict[str, Login]:
    """Make a secret for each user, in the order of their names."""
    parent = Construct(scope, f"{kind}Secrets")
    return {
        user: Login(parent, user, user=user, description=f"{description}: {user}")
        for user in sorted(set(users))
    }
