"""Proxy: RDS Proxy with the plan's percentages and times."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from broker.errors import UsageError
from broker.plan import Plan

from .access import PORT, Access, read_secret
from .database import Database
from .iam_login import dbuser_arn
from .network import Network
from .options import Auth


class Proxy(Construct):
    """RDS Proxy, and its read-only endpoint where the database has readers."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        network: Network,
        database: Database,
        plan: Plan,
        auth: Auth,
        secrets: Mapping[str, secretsmanager.ISecret],
    ) -> None:
        super().__init__(scope, id)
        self._network, self._database, self._secrets = network, database, secrets
        self.group = ec2.SecurityGroup(
            self,
            "Group",
            vpc=network.vpc,
            description="RDS Proxy: its rules say who may connect",
            allow_all_outbound=False,
        )
        self.group.connections.allow_to(
            database.connections, ec2.Port.tcp(database.port), "RDS Proxy to the database"
        )
        with_iam = auth is Auth.IAM
        self._proxy = rds.DatabaseProxy(
            self,
            "Proxy",
            proxy_target=database.proxy_target,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            security_groups=[self.group],
            require_tls=True,
            secrets=None if with_iam else list(secrets.values()),
            default_auth_scheme=rds.DefaultAuthScheme.IAM_AUTH if with_iam else None,
            client_password_auth_type=None
            if with_iam
            else rds.ClientPasswordAuthType.POSTGRES_SCRAM_SHA_256,
            role=self._role(plan) if with_iam else None,
            max_connections_percent=plan.whole("max_connections_percent"),
            max_idle_connections_percent=plan.whole("max_idle_connections_percent"),
            borrow_timeout=Duration.seconds(plan.whole("connection_borrow_timeout")),
            idle_client_timeout=Duration.seconds(plan.whole("idle_client_timeout")),
        )

    def _role(self, plan: Plan) -> iam.Role:
        """Return a role that may log in as the plan's users, which the L2 forgets (FACTS 4)."""
        if self._database.resource_id is None:
            raise UsageError("IAM needs the database's resource id: give Database(resource_id=…)")
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
        users = sorted({pair.user for pair in plan.deployment.middle.pairs})
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["rds-db:connect"],
                resources=[dbuser_arn(self, self._database.resource_id, user) for user in users],
            )
        )
        return role

    def access(self) -> Access:
        """Return how functions get to it."""
        reader = None
        if self._database.reader_host is not None:
            reader = self._proxy.add_endpoint(
                "Reader",
                vpc=self._network.vpc,
                vpc_subnets=self._network.subnets,
                security_groups=[self.group],
                target_role=rds.ProxyEndpointTargetRole.READ_ONLY,
            ).endpoint
        grant = read_secret(self._secrets) if self._secrets else self._proxy.grant_connect
        return Access(
            host=self._proxy.endpoint,
            port=PORT,
            group=self.group,
            grant=grant,
            reader_host=reader,
            secrets=self._secrets,
            proxy_name=self._proxy.db_proxy_name,
        )
