"""Network: the VPC and the subnets that everything here is in, with its ways to AWS' services."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

from broker.plan.deployment import Flavour

from .acknowledge import acknowledge
from .vpc_settings import ExistingVpc, NewVpc

ZONES = 2
SUBNET_MASK = 4  # bits after the VPC's: 16 subnets' worth of room, of which 2 to 4 are used
ENDPOINTS = {
    Flavour.DIRECT: ("SECRETS_MANAGER",),
    Flavour.RDS_PROXY: ("SECRETS_MANAGER",),
    Flavour.PGBOUNCER: ("SECRETS_MANAGER", "ECR", "ECR_DOCKER", "CLOUDWATCH_LOGS"),
}
"""What the flavour calls: secrets for all, the image and the logs for the pooler's tasks."""


@dataclass(frozen=True)
class Network:
    """Where things are put. `ready` must be there before anything calls AWS from inside."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    ready: tuple[IDependable, ...] = ()


def make_network(scope: Construct, settings: NewVpc | ExistingVpc, flavour: Flavour) -> Network:
    """Make the VPC, or find the one that is there."""
    if isinstance(settings, ExistingVpc):
        return _existing(scope, settings)
    return _new(scope, settings, flavour)


def _existing(scope: Construct, settings: ExistingVpc) -> Network:
    if settings.lookup:
        vpc = ec2.Vpc.from_lookup(scope, "Vpc", vpc_id=settings.id)
        private = ec2.SubnetSelection(subnets=[*vpc.private_subnets, *vpc.isolated_subnets])
        return Network(vpc, private)
    found = ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=settings.id,
        availability_zones=list(settings.availability_zones),
        isolated_subnet_ids=list(settings.subnets),
    )
    acknowledge(
        found, "@aws-cdk/aws-ec2:noSubnetRouteTableId", "Nothing here adds routes to those subnets."
    )
    return Network(found, ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED))


def _new(scope: Construct, settings: NewVpc, flavour: Flavour) -> Network:
    kind = ec2.SubnetType.PRIVATE_WITH_EGRESS if settings.nat else ec2.SubnetType.PRIVATE_ISOLATED
    mask = int(settings.cidr.partition("/")[2]) + SUBNET_MASK
    subnets = [ec2.SubnetConfiguration(name="Broker", subnet_type=kind, cidr_mask=mask)]
    if settings.nat:
        public = ec2.SubnetType.PUBLIC
        subnets.append(
            ec2.SubnetConfiguration(
                name="Public", subnet_type=public, cidr_mask=mask, map_public_ip_on_launch=False
            )
        )
    vpc = ec2.Vpc(
        scope,
        "Vpc",
        ip_addresses=ec2.IpAddresses.cidr(settings.cidr),
        max_azs=ZONES,
        nat_gateways=1 if settings.nat else 0,
        subnet_configuration=subnets,
        # The CDK would empty the default group with a Lambda function of its own; nothing is in it.
        restrict_default_security_group=False,
        flow_logs={"Rejected": _flow_log(scope)},
    )
    chosen = ec2.SubnetSelection(subnet_type=kind)
    for kept in (vpc, *vpc.select_subnets(subnet_type=kind).subnets):  # the database is in them
        kept.apply_removal_policy(RemovalPolicy.RETAIN)
    ready = _endpoints(vpc, chosen, settings, flavour)
    return Network(vpc, chosen, ready)


def _flow_log(scope: Construct) -> ec2.FlowLogOptions:
    """Log what was refused: that is what a missing rule looks like, and costs little."""
    group = logs.LogGroup(
        scope,
        "FlowLog",
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )
    return ec2.FlowLogOptions(
        traffic_type=ec2.FlowLogTrafficType.REJECT,
        destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
    )


def _endpoints(
    vpc: ec2.Vpc, subnets: ec2.SubnetSelection, settings: NewVpc, flavour: Flavour
) -> tuple[IDependable, ...]:
    """Add the ways to AWS. Gateways are free; with a NAT gateway nothing else is needed."""
    found: list[IDependable] = [
        vpc.add_gateway_endpoint(
            "S3", service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[subnets]
        )
    ]
    if flavour is Flavour.DIRECT:
        service = ec2.GatewayVpcEndpointAwsService.DYNAMODB
        found.append(vpc.add_gateway_endpoint("DynamoDb", service=service, subnets=[subnets]))
    if settings.nat:
        return (*found, vpc.internet_connectivity_established)
    group = ec2.SecurityGroup(
        vpc,
        "Endpoints",
        vpc=vpc,
        description="AWS services, for what is in the VPC",
        allow_all_outbound=False,
    )
    group.add_ingress_rule(ec2.Peer.ipv4(settings.cidr), ec2.Port.tcp(443), "HTTPS from the VPC")
    for name in ENDPOINTS[flavour]:
        service = getattr(ec2.InterfaceVpcEndpointAwsService, name)
        found.append(
            vpc.add_interface_endpoint(
                name.title().replace("_", ""),
                service=service,
                subnets=subnets,
                security_groups=[group],
                open=False,
            )
        )
    return tuple(found)
