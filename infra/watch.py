"""Watch: the monitor, the reaper, the alarms, the dashboard and the queries of one broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CustomResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from broker.plan import Plan

from .access import Access, Grant
from .alarm import Alarm
from .alarms import Alarms
from .dashboard import Dashboard, pooler_metrics, proxy_metrics
from .database import Database
from .function_alarms import function_alarms
from .middle_alarms import pooler_alarms, proxy_alarms
from .monitor import Monitor
from .network import Network
from .queries import Queries
from .reaper import Reaper
from .roles import Watchers
from .server_alarms import monitor_alarms, server_alarms
from .watch_settings import WatchSettings
from .watcher import Watched


@dataclass(frozen=True)
class Eyes:
    """What the watchers need to see the server with."""

    network: Network
    database: Database
    ca: str
    grant: Grant
    names: Watchers
    secrets: Mapping[str, secretsmanager.ISecret]
    roles: CustomResource


class Watch(Construct):
    """What [deploy.monitor], [deploy.reaper] and [deploy.alarms] say. `name` is in all metrics."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: WatchSettings,
        name: str,
        plan: Plan,
        access: Access,
        eyes: Eyes,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._plan, self._access = name, plan, access
        self._queries = Queries(self, "Queries", folder=name)
        monitor = self._look(settings, eyes) if settings.monitor or settings.reaper else None
        self.alarms: Alarms | None = None
        if settings.alarms is not None:
            found = self._middle_alarms()
            if monitor is not None:
                function, logs = monitor.function.function_name, monitor.logs.log_group_name
                found += server_alarms(name, plan) + monitor_alarms(name, function, logs)
            self.alarms = Alarms(self, "Alarms", settings=settings.alarms, alarms=found)
        self._dashboard: Dashboard | None = None
        if settings.dashboard:
            middle = self._middle_metrics()
            self._dashboard = Dashboard(self, "Overview", server=name, plan=plan, middle=middle)
            if self.alarms is not None and self.alarms.made:
                self._dashboard.add_alarms(self.alarms.made)

    def _look(self, settings: WatchSettings, eyes: Eyes) -> Monitor | None:
        """Make what looks, and return the monitor, if it is on."""
        watched = Watched(
            server=self._name,
            network=eyes.network,
            database=eyes.database,
            group=self._group(eyes),
            plan=self._plan,
            ca=eyes.ca,
            grant=eyes.grant,
            names=eyes.names,
            secrets={role: secret.secret_arn for role, secret in eyes.secrets.items()},
            roles=eyes.roles,
        )
        monitor = None
        if settings.monitor:
            monitor = Monitor(self, "Monitor", watched=watched)
            self._queries.of_monitor(monitor.logs)
        if settings.reaper:
            reaper = Reaper(self, "Reaper", watched=watched, policy=settings.reaper)
            self._queries.of_reaper(reaper.logs)
        return monitor

    def _group(self, eyes: Eyes) -> ec2.SecurityGroup:
        """Return the watchers' group, which the database lets in."""
        group = ec2.SecurityGroup(
            self,
            "Group",
            vpc=eyes.network.vpc,
            description="The monitor and the reaper",
            allow_all_outbound=False,
        )
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
        port = ec2.Port.tcp(eyes.database.port)
        eyes.database.connections.allow_from(group, port, "Monitor and reaper")
        return group

    def _middle_alarms(self) -> list[Alarm]:
        if self._access.tasks is not None:
            return pooler_alarms(self._name, self._plan, self._access.tasks)
        if self._access.proxy_name is not None:
            return proxy_alarms(self._access.proxy_name, self._plan)
        return []

    def _middle_metrics(self) -> list[cloudwatch.IMetric]:
        if self._access.tasks is not None:
            return pooler_metrics(self._name, self._access.tasks.healthy)
        if self._access.proxy_name is not None:
            return proxy_metrics(self._access.proxy_name)
        return []

    def add_function(self, name: str, fn: lambda_.Function) -> None:
        """Watch one more function, by its name in the plan."""
        if self.alarms is not None:
            flavour = self._plan.deployment.middle.flavour
            self.alarms.add(function_alarms(name, fn.function_name, flavour))
        if self._dashboard is not None:
            self._dashboard.add_function(fn.function_name)
