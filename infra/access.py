"""Access: how a function gets to the database through what stands in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager

from broker.plan import Plan
from broker.plan.deployment import Application

PORT = 5432

Grant = Callable[[iam.IGrantable, str], object]


@dataclass(frozen=True)
class Tasks:
    """The pooler's tasks: how many are healthy, and the service's names."""

    healthy: cloudwatch.Metric
    cluster: str
    service: str


@dataclass(frozen=True)
class Access:
    """Where to, whom to trust, who lets in, and what a function must be allowed.

    `users` and `secrets` have, by the server's user, the name and the secret that clients log in
    with; `grant` allows a function what it needs for one user. What stands in between is watched
    by its `tasks` (PgBouncer) or its `proxy_name` (RDS Proxy).
    """

    host: str
    port: int
    group: ec2.IConnectable
    grant: Grant
    tls_ca: str | None = None
    reader_host: str | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, secretsmanager.ISecret] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    tasks: Tasks | None = None
    proxy_name: str | None = None

    def environment(
        self, plan: Plan, application: Application, *, read_only: bool
    ) -> dict[str, str]:
        """Return the function's BROKER_ variables; no secret is in them."""
        user = application.pair.user
        found = {
            "BROKER_HOST": (self.reader_host or self.host) if read_only else self.host,
            "BROKER_PORT": str(self.port),
            "BROKER_DATABASE": application.pair.database,
            "BROKER_USER": self.users.get(user, user),
            "BROKER_FLAVOUR": plan.deployment.middle.flavour.value,
            "BROKER_IDLE_TIMEOUT_S": str(plan.whole("client_idle")),
        }
        if user in self.secrets:
            found["BROKER_SECRET_ARN"] = self.secrets[user].secret_arn
        else:
            found["BROKER_AUTH"] = "iam"
        if self.tls_ca is not None:
            found["BROKER_TLS_CA"] = self.tls_ca
        if application.sessions > 1:
            found["BROKER_MAX_SESSIONS"] = str(application.sessions)
        return found | dict(self.extra)


def read_secret(secrets: Mapping[str, secretsmanager.ISecret]) -> Grant:
    """Return a grant that lets a function read one user's secret, and no other."""

    def grant(grantee: iam.IGrantable, user: str) -> object:
        return secrets[user].grant_read(grantee)

    return grant
