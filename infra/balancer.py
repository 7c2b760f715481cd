"""Balancer: the one address of all poolers."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct

from .access import PORT
from .acknowledge import acknowledge
from .network import Network
from .signals import PERIOD_S

POOLER_PORT = 6432
IDLE_S = 350  # NLB's default; the plan's client_idle_timeout is below it
DEREGISTRATION_S = 30  # FACTS 7: new clients stay away before the task is told to end
HEALTH_INTERVAL_S = 10
HEALTH_COUNT = 2


class Balancer(elb.NetworkLoadBalancer):
    """Internal, TCP: TLS is PgBouncer's own, since PostgreSQL asks for it inside the session."""

    def __init__(
        self, scope: Construct, id: str, *, network: Network, tasks: ec2.SecurityGroup
    ) -> None:
        group = ec2.SecurityGroup(
            scope,
            f"{id}Group",
            vpc=network.vpc,
            description="Load balancer of the poolers: its rules say who may connect",
            allow_all_outbound=False,
        )
        super().__init__(
            scope,
            id,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            internet_facing=False,
            cross_zone_enabled=True,
            security_groups=[group],
        )
        self.group = group
        # Its own group has no way out until told (FACTS 7); health checks go this way too.
        group.add_egress_rule(tasks, ec2.Port.tcp(POOLER_PORT), "To the poolers")
        tasks.add_ingress_rule(group, ec2.Port.tcp(POOLER_PORT), "From the load balancer")
        acknowledge(
            self,
            "AwsSolutions-ELB2",
            "A TCP listener writes no access log: NLB logs TLS listeners alone.",
        )

    def lead_to(self, vpc: ec2.IVpc, service: ecs.FargateService, container: str) -> None:
        """Listen on PostgreSQL's port, and lead to the service's tasks."""
        target = service.load_balancer_target(container_name=container, container_port=POOLER_PORT)
        tasks = elb.NetworkTargetGroup(
            self,
            "Tasks",
            vpc=vpc,
            port=POOLER_PORT,
            protocol=elb.Protocol.TCP,
            targets=[target],
            deregistration_delay=Duration.seconds(DEREGISTRATION_S),
            connection_termination=False,
            preserve_client_ip=False,
            cross_zone_enabled=True,
            health_check=elb.HealthCheck(
                protocol=elb.Protocol.TCP,
                port=str(POOLER_PORT),
                interval=Duration.seconds(HEALTH_INTERVAL_S),
                healthy_threshold_count=HEALTH_COUNT,
                unhealthy_threshold_count=HEALTH_COUNT,
            ),
        )
        self.add_listener(
            "Listener",
            port=PORT,
            tcp_idle_timeout=Duration.seconds(IDLE_S),
            default_target_groups=[tasks],
        )
        self.healthy_tasks = tasks.metrics.healthy_host_count(
            period=Duration.seconds(PERIOD_S), statistic="Minimum"
        )
