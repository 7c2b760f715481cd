"""Network: the VPC and the subnets that everything here is in, with its ways to AWS' services."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Annotations, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

from broker.plan.deployment import Flavour

from .acknowledge import acknowledge
from .endpoints import make_endpoints
from .services import NEEDED, gateways
from .vpc_settings import ExistingVpc, NewVpc

ZONES = 2
SUBNET_MASK = 4  # bits after the VPC's: 16 subnets' worth of room, of which 2 to 4 are used


@dataclass(frozen=True)
class Network:
    """Where things are put. `ready` must be there before anything calls AWS from inside."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    ready: tuple[IDependable, ...] = ()


def make_network(scope: Construct, settings: NewVpc | ExistingVpc, flavour: Flavour) -> Network:
    """Make the VPC, or find the one that is there."""
    if isinstance(settings, ExistingVpc):
        return _existing(scope, settings, flavour)
    return _new(scope, settings, flavour)


def _existing(scope: Construct, settings: ExistingVpc, flavour: Flavour) -> Network:
    vpc, subnets = (_looked_up if settings.lookup else _given)(scope, settings)
    made = settings.endpoints
    rest = tuple(name for name in NEEDED[flavour] if name not in made)
    if rest and not (settings.lookup and vpc.private_subnets):
        Annotations.of(vpc).add_info(
            f"{settings.id}: its subnets must reach {', '.join(rest)} over HTTPS, by endpoints or "
            "a NAT gateway, or the deployment fails; deploy.vpc.endpoints makes endpoints"
        )
    return Network(vpc, subnets, make_endpoints(scope, vpc, subnets, made, settings.cidr))


def _looked_up(scope: Construct, settings: ExistingVpc) -> tuple[ec2.IVpc, ec2.SubnetSelection]:
    """Take the subnets with a way out where there are such, and one in each zone.

    Neither a load balancer nor an endpoint takes two in a zone.
    """
    vpc = ec2.Vpc.from_lookup(scope, "Vpc", vpc_id=settings.id)
    kind = ec2.SubnetType
    selected = vpc.select_subnets(
        subnet_type=kind.PRIVATE_WITH_EGRESS if vpc.private_subnets else kind.PRIVATE_ISOLATED,
        one_per_az=True,
    )
    return vpc, ec2.SubnetSelection(subnets=selected.subnets)


def _given(scope: Construct, settings: ExistingVpc) -> tuple[ec2.IVpc, ec2.SubnetSelection]:
    found = ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=settings.id,
        availability_zones=list(settings.availability_zones),
        isolated_subnet_ids=list(settings.subnets),
        isolated_subnet_route_table_ids=list(settings.route_tables) or None,
    )
    acknowledge(
        found,
        "@aws-cdk/aws-ec2:noSubnetRouteTableId",
        "Only gateway endpoints add routes, and need deploy.vpc.route_tables.",
    )
    return found, ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)


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
    needed = NEEDED[flavour]
    names = gateways(needed) if settings.nat else needed
    ready = make_endpoints(vpc, vpc, chosen, names, settings.cidr)
    if settings.nat:
        ready = (*ready, vpc.internet_connectivity_established)
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
