"""Endpoints: the ways to AWS' services that stay in the VPC, a new one or one that is there."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IDependable

from .services import gateways, interfaces

GATEWAYS = {
    "s3": ("S3", ec2.GatewayVpcEndpointAwsService.S3),
    "dynamodb": ("DynamoDb", ec2.GatewayVpcEndpointAwsService.DYNAMODB),
}
INTERFACES = {
    "secretsmanager": ("SecretsManager", ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER),
    "ecr.api": ("Ecr", ec2.InterfaceVpcEndpointAwsService.ECR),
    "ecr.dkr": ("EcrDocker", ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER),
    "logs": ("CloudwatchLogs", ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS),
}
HTTPS = ec2.Port.tcp(443)


def make_endpoints(
    scope: Construct,
    vpc: ec2.IVpc,
    subnets: ec2.SubnetSelection,
    names: tuple[str, ...],
    cidr: str | None,
) -> tuple[IDependable, ...]:
    """Add an endpoint for each of the services; what is in `cidr`, the VPC's range, may use them.

    None: the range of a VPC that was looked up.
    An interface endpoint takes its service's name over for the whole VPC, so that all of the VPC
    must be let in, and not only what is made here.
    """
    found: list[IDependable] = []
    for name in gateways(names):
        id, gateway = GATEWAYS[name]
        found.append(vpc.add_gateway_endpoint(id, service=gateway, subnets=[subnets]))
    if not interfaces(names):
        return tuple(found)
    group = ec2.SecurityGroup(
        scope,
        "Endpoints",
        vpc=vpc,
        description="AWS services, for what is in the VPC",
        allow_all_outbound=False,
    )
    group.add_ingress_rule(ec2.Peer.ipv4(cidr or vpc.vpc_cidr_block), HTTPS, "HTTPS from the VPC")
    for name in interfaces(names):
        id, interface = INTERFACES[name]
        found.append(
            vpc.add_interface_endpoint(
                id, service=interface, subnets=subnets, security_groups=[group], open=False
            )
        )
    return tuple(found)
