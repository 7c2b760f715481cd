"""Record: a name of the user's own, which leads to the load balancer inside the VPC."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct


class Record(Construct):
    """A private zone of that one name, so that all other names of its domain stay as they are."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        name: str,
        balancer: elb.INetworkLoadBalancer,
    ) -> None:
        super().__init__(scope, id)
        zone = route53.PrivateHostedZone(
            self, "Zone", vpc=vpc, zone_name=name, comment="The poolers' load balancer"
        )
        target = targets.LoadBalancerTarget(balancer)
        route53.ARecord(self, "Alias", zone=zone, target=route53.RecordTarget.from_alias(target))
