"""Exporter: the container beside the poolers' that makes metrics of what their consoles say.

It is a container of its own, not a process of the entrypoint's, so that it sees their sockets and
none of their secrets, has its own bound on memory, and may hang, die and be restarted while they
serve. No container depends on it, nor it on them: ECS would stop it first, and wait for it.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs

from broker.pgbouncer import Hosting

CONTAINER = "exporter"
COMMAND = "/usr/local/bin/pgbouncer-exporter"
CPU = 16  # of the vCPU's 1024: what it gets where all want more; it takes less than one
MEMORY_MIB = 64  # it takes 14; more than this ends it, and it alone
STOP_S = 10
RESTART_S = 60  # ECS' least


def add_exporter(
    task: ecs.TaskDefinition,
    *,
    image: ecs.ContainerImage,
    user: str,
    linux: ecs.LinuxParameters,
    volume: str,
    pooler: str,
    log_group: logs.ILogGroup,
) -> None:
    """Run the image's exporter in the task. Its metrics have the dimension `pooler`."""
    container = task.add_container(
        CONTAINER,
        image=image,
        entry_point=[COMMAND],
        essential=False,
        environment={"EXPORTER_POOLER": pooler},
        user=user,
        cpu=CPU,
        memory_limit_mib=MEMORY_MIB,
        readonly_root_filesystem=True,
        linux_parameters=linux,
        stop_timeout=Duration.seconds(STOP_S),
        enable_restart_policy=True,
        restart_attempt_period=Duration.seconds(RESTART_S),
        logging=ecs.LogDrivers.aws_logs(stream_prefix=CONTAINER, log_group=log_group),
    )
    container.add_mount_points(
        ecs.MountPoint(source_volume=volume, container_path=Hosting().sockets, read_only=True)
    )
