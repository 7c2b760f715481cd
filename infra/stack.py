"""BrokerStack: network, database and broker, as broker.toml's [deploy] has them."""

from __future__ import annotations

import os

from aws_cdk import Annotations, CfnOutput, Environment, Stack
from constructs import Construct

from broker.errors import UsageError

from .connection_broker import ConnectionBroker
from .network import make_network
from .new_database import make_database
from .settings import Settings
from .vpc_settings import ExistingVpc


class BrokerStack(Stack):
    """Everything in one stack: what keeps data is retained, the rest goes with the stack."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(
            scope,
            settings.name,
            env=_environment(settings),
            description="lambda-pg-broker",
        )
        deployment = settings.plan.deployment
        ambient, priced = os.environ.get("CDK_DEFAULT_REGION"), deployment.prices.region
        if settings.region is None and ambient not in (None, priced):
            Annotations.of(self).add_info(
                f"the plan's costs are at prices of {priced}, and this shell deploys to {ambient}: "
                "[prices] has another region's"
            )
        network = make_network(self, settings.vpc, deployment.middle.flavour)
        database = make_database(self, settings.database, settings.plan, network)
        self.broker = ConnectionBroker(
            self,
            "Broker",
            database=database,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            deployment=deployment,
            options=settings.options,
        )
        if network.ready:
            self.broker.node.add_dependency(*network.ready)
        for name, value in {
            "Host": self.broker.host,
            "Port": str(self.broker.port),
            "LayerArn": self.broker.layer.layer_version_arn,
            "ClientsSecurityGroup": self.broker.clients.security_group_id,
        }.items():
            CfnOutput(self, name, value=value)


def _environment(settings: Settings) -> Environment | None:
    """Return where to deploy: the CLI's word only where something must be looked up there."""
    if isinstance(settings.vpc, ExistingVpc) and settings.vpc.lookup:
        account = os.environ.get("CDK_DEFAULT_ACCOUNT")
        region = settings.region or os.environ.get("CDK_DEFAULT_REGION")
        if not account or not region:
            raise UsageError(
                f"{settings.plan.deployment.file}: deploy.vpc.lookup = true: AWS must be asked: "
                "it needs AWS credentials in the shell (and a region), or availability_zones and "
                "subnets in place of lookup"
            )
        return Environment(account=account, region=region)
    return Environment(region=settings.region) if settings.region else None
