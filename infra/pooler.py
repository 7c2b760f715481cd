"""Pooler: PgBouncer's tasks on Fargate, over the network's zones."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from broker.pgbouncer import Hosting, render_ini
from broker.plan import Plan

from .acknowledge import acknowledge
from .balancer import POOLER_PORT, Balancer
from .exporter import CPU as EXPORTER_CPU
from .exporter import add_exporter
from .network import Network
from .sizing import Sizing, sizing

CONTAINER = "pgbouncer"
USER = "10001:10001"  # the image's pgbouncer
VOLUMES = {"run": Hosting().directory, "sockets": Hosting().sockets}
SHARED = "sockets"
"""The volume that the exporter sees."""
STOP_S = 120  # Fargate's most: SIGINT lets transactions finish (FACTS 6)
GRACE_S = 60
PLACEHOLDER = "database.invalid"
"""In the place of the database's host, whose name is known only once it is there."""
HEALTH = ("CMD", "/usr/local/bin/pgbouncer-health")


def rendered(plan: Plan, host: str, port: int) -> dict[str, str]:
    """Return the plan's pgbouncer.ini for each process, by the variable that takes it there."""
    hosting = Hosting(host=PLACEHOLDER, port=port)
    return {
        f"PGBOUNCER_INI_{process}": render_ini(plan, hosting, process=process).replace(
            PLACEHOLDER, host
        )
        for process in range(1, plan.deployment.middle.processes + 1)
    }


class Pooler(Construct):
    """The service, its tasks and their load balancer.

    Metrics of the tasks have the dimension `pooler`, and in it `name`.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        network: Network,
        plan: Plan,
    ) -> None:
        super().__init__(scope, id)
        self._network, self._plan, self._sizing = network, plan, sizing(plan)
        self.name = f"{Stack.of(self).stack_name}/{scope.node.id}"
        self.group = ec2.SecurityGroup(
            self,
            "TaskGroup",
            vpc=network.vpc,
            description="The poolers",
            allow_all_outbound=False,
        )
        self.group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
        self.balancer = Balancer(self, "Balancer", network=network, tasks=self.group)

    def run(
        self,
        image: ecs.ContainerImage,
        environment: Mapping[str, str],
        secrets: Mapping[str, secretsmanager.ISecret],
    ) -> ecs.FargateService:
        """Run the plan's tasks, and lead the load balancer to them."""
        cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=self._network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        service = ecs.FargateService(
            self,
            "Service",
            cluster=cluster,
            task_definition=self._task(image, environment, secrets),
            desired_count=self._sizing.tasks,
            min_healthy_percent=self._sizing.min_healthy_percent,
            max_healthy_percent=self._sizing.max_healthy_percent,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            health_check_grace_period=Duration.seconds(GRACE_S),
            vpc_subnets=self._network.subnets,
            security_groups=[self.group],
            assign_public_ip=False,
            enable_execute_command=False,
            platform_version=ecs.FargatePlatformVersion.VERSION1_4,
        )
        self.balancer.lead_to(self._network.vpc, service, CONTAINER)
        return service

    def _task(
        self,
        image: ecs.ContainerImage,
        environment: Mapping[str, str],
        secrets: Mapping[str, secretsmanager.ISecret],
    ) -> ecs.FargateTaskDefinition:
        size = self._sizing
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            cpu=size.cpu,
            memory_limit_mib=size.memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            volumes=[ecs.Volume(name=name) for name in VOLUMES],
        )
        linux = ecs.LinuxParameters(self, "Linux")
        linux.drop_capabilities(ecs.Capability.ALL)
        _add_pgbouncer(task, size, image, environment, secrets, linux, _logs(self, "Logs"))
        add_exporter(
            task,
            image=image,
            user=USER,
            linux=linux,
            volume=SHARED,
            pooler=self.name,
            log_group=_logs(self, "ExporterLogs"),
        )
        acknowledge(
            task, "AwsSolutions-ECS2", "pgbouncer.ini is in the environment; secrets are not."
        )
        acknowledge(
            task,
            "AwsSolutions-IAM5[Resource::*]",
            "ecr:GetAuthorizationToken, for the image, knows no resource.",
        )
        return task


def _add_pgbouncer(
    task: ecs.FargateTaskDefinition,
    size: Sizing,
    image: ecs.ContainerImage,
    environment: Mapping[str, str],
    secrets: Mapping[str, secretsmanager.ISecret],
    linux: ecs.LinuxParameters,
    log_group: logs.ILogGroup,
) -> None:
    container = task.add_container(
        CONTAINER,
        image=image,
        environment=dict(environment),
        secrets={name: ecs.Secret.from_secrets_manager(each) for name, each in secrets.items()},
        user=USER,
        cpu=size.cpu - EXPORTER_CPU,
        readonly_root_filesystem=True,
        linux_parameters=linux,
        ulimits=[
            ecs.Ulimit(name=ecs.UlimitName.NOFILE, soft_limit=size.nofile, hard_limit=size.nofile)
        ],
        stop_timeout=Duration.seconds(STOP_S),
        health_check=ecs.HealthCheck(
            command=list(HEALTH),
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            retries=3,
            start_period=Duration.seconds(20),
        ),
        logging=ecs.LogDrivers.aws_logs(stream_prefix=CONTAINER, log_group=log_group),
        port_mappings=[ecs.PortMapping(container_port=POOLER_PORT)],
    )
    container.add_mount_points(
        *(
            ecs.MountPoint(source_volume=name, container_path=path, read_only=False)
            for name, path in VOLUMES.items()
        )
    )


def _logs(scope: Construct, id: str) -> logs.LogGroup:
    return logs.LogGroup(
        scope,
        id,
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )
