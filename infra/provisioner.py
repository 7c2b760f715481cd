"""Provisioner: roles on the server and the pooler's certificate, made by a function in the VPC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from broker.plan import Plan

from . import places
from .bundling import asset
from .changes import on_change
from .database import Database
from .function import function_role, log_group
from .layer import DRIVER, LOCAL
from .network import Network
from .package import Package, Platform
from .roles import Watchers, databases, roles

HANDLER = "lambdas.provisioner.handler.handler"
COMPILED = ("cryptography", "cffi")
PLATFORM = Platform(("manylinux_2_28_aarch64", "manylinux2014_aarch64"), "3.14")
TIMEOUT_MIN = 5  # a new database may not answer at once
SERVICE_TIMEOUT_MIN = 15
"""How long CloudFormation waits for an answer; left out, an hour. The function itself answers
within its timeout, whatever hangs. Lambda tries again, a minute later, what ended without an
answer: this is time for both, and for the network interfaces before."""
RENEW_DAYS = 30  # before its end
RDS_CA = "rds-ca.pem"


def provisioner_package(ca: str) -> Package:
    """Return what its zip holds."""
    return Package(
        folders={"broker": places.LIBRARY, "lambdas/provisioner": places.lambdas() / "provisioner"},
        texts={RDS_CA: ca, "lambdas/__init__.py": ""},
        pure=DRIVER,
        wheels=COMPILED,
        platform=PLATFORM,
        without=LOCAL,
    )


class Provisioner(Construct):
    """The function, and the resources that it answers for. It never drops data."""

    def __init__(
        self, scope: Construct, id: str, *, network: Network, database: Database, ca: str
    ) -> None:
        super().__init__(scope, id)
        self._database = database
        self.group = ec2.SecurityGroup(
            self,
            "Group",
            vpc=network.vpc,
            description="The provisioner",
            allow_all_outbound=False,
        )
        self.group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
        self._rules = self._let_in()
        logged = log_group(self)
        self.function = lambda_.Function(
            self,
            "Function",
            description="Makes the broker's roles and certificate",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=HANDLER,
            code=asset(provisioner_package(ca), places.lambdas()),
            timeout=Duration.minutes(TIMEOUT_MIN),
            memory_size=512,
            role=function_role(self, logged, in_vpc=True),
            log_group=logged,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            security_groups=[self.group],
        )
        database.admin_secret.grant_read(self.function)

    def _let_in(self) -> list[ec2.CfnSecurityGroupIngress]:
        """Let it in at the database, by rules that the roles alone wait for.

        Rules in the group's own tree would make them wait for every client's, and be a circle.
        """
        port = self._database.port
        groups = self._database.connections.security_groups
        for group in groups:
            self.group.add_egress_rule(group, ec2.Port.tcp(port), "The database")
        return [
            ec2.CfnSecurityGroupIngress(
                self,
                f"Rule{number}",
                group_id=group.security_group_id,
                source_security_group_id=self.group.security_group_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="The provisioner makes roles",
            )
            for number, group in enumerate(groups, 1)
        ]

    def make_roles(
        self, plan: Plan, watchers: Watchers, secrets: dict[str, secretsmanager.ISecret]
    ) -> CustomResource:
        """Make the plan's roles, and again whenever one of its numbers changes.

        A new value of a user's secret becomes the role's password at once.
        """
        for secret in secrets.values():
            secret.grant_read(self.function)
        arns = {user: secret.secret_arn for user, secret in secrets.items()}
        properties = {
            "Host": self._database.host,
            "Port": str(self._database.port),
            "AdminSecretArn": self._database.admin_secret.secret_arn,
            "TlsCa": "rds",
            "Databases": databases(plan),
            "Roles": json.dumps(roles(plan, watchers, arns)),
        }
        made = self._resource("Roles", "Custom::BrokerRoles", properties)
        made.node.add_dependency(*self._database.ready, self.group, *self._rules)
        if arns:
            again = events.RuleTargetInput.from_object({"Roles": properties})
            target = targets.LambdaFunction(self.function, event=again)
            on_change(self, "Changed", list(arns.values()), target)
            events.Rule(
                self,
                "Hourly",
                description="Gives the roles the passwords of which no event told",
                schedule=events.Schedule.rate(Duration.hours(1)),
                targets=[target],
            )
        return made

    def _resource(self, name: str, kind: str, properties: dict[str, Any]) -> CustomResource:
        made = CustomResource(
            self,
            name,
            service_token=self.function.function_arn,
            resource_type=kind,
            service_timeout=Duration.minutes(SERVICE_TIMEOUT_MIN),
            properties=properties,
        )
        made.node.add_dependency(self.function)
        return made

    def make_certificate(
        self,
        secret: secretsmanager.ISecret,
        authority: secretsmanager.ISecret,
        names: Sequence[str],
    ) -> CustomResource:
        """Make a certificate for these names, and look every day whether it must be renewed."""
        for each in (secret, authority):
            each.grant_read(self.function)
            each.grant_write(self.function)
        properties = {
            "SecretArn": secret.secret_arn,
            "CaSecretArn": authority.secret_arn,
            "Names": list(names),
            "RenewDays": str(RENEW_DAYS),
        }
        made = self._resource("Certificate", "Custom::BrokerCertificate", properties)
        events.Rule(
            self,
            "Daily",
            description="Renews the pooler's certificate before it ends",
            schedule=events.Schedule.rate(Duration.days(1)),
            targets=[
                targets.LambdaFunction(
                    self.function,
                    event=events.RuleTargetInput.from_object({"Renew": properties}),
                )
            ],
        )
        return made
