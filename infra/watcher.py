"""Watcher: a scheduled function of the broker's own that looks at the database itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from broker.plan import Plan
from broker.plan.concurrency import UNRESERVED_LEAST

from . import places
from .access import Grant
from .bundling import asset
from .database import Database
from .function import function_role, log_group
from .layer import DRIVER, POWERTOOLS
from .network import Network
from .package import Package
from .roles import Watchers, watched_database

RDS_CA = "rds-ca.pem"  # beside the code, where a function starts
LEFT_OUT = ("cli", "local", "pgbouncer", "simulate")
TIMEOUT_S = 20  # a look takes well below a second; a minute later there is another
LIFETIME_S = 3600  # the session is kept: when all is full, no new one is to be had
WATCHERS = 2  # monitor and reaper, one environment each
RETRY_S = 60  # the next run is better than an old one


@dataclass(frozen=True)
class Watched:
    """The server, as a watcher gets to it: past every pooler, in whose queue it would wait.

    `server` is its name in metrics. `secrets` are ARNs by role; who has none logs in with IAM.
    """

    server: str
    network: Network
    database: Database
    group: ec2.SecurityGroup
    plan: Plan
    ca: str
    grant: Grant
    names: Watchers
    secrets: Mapping[str, str]
    roles: CustomResource

    def environment(self, role: str) -> dict[str, str]:
        """Return what the function is told; no secret is in it."""
        found = {
            "SERVER": self.server,
            "BROKER_HOST": self.database.host,
            "BROKER_PORT": str(self.database.port),
            "BROKER_DATABASE": watched_database(self.plan),
            "BROKER_USER": role,
            "BROKER_FLAVOUR": "direct",
            "BROKER_TLS_CA": RDS_CA,
            "BROKER_LIFETIME_S": str(LIFETIME_S),
        }
        if role in self.secrets:
            return {**found, "BROKER_SECRET_ARN": self.secrets[role]}
        return {**found, "BROKER_AUTH": "iam"}


class Watcher(Construct):
    """One function, `lambdas/{noun}`, every so many minutes, one at a time."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        noun: str,
        description: str,
        role: str,
        watched: Watched,
        every_min: int,
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.logs = log_group(self)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"lambdas.{noun}.handler.handler",
            code=asset(watcher_package(noun, watched.ca), places.lambdas()),
            timeout=Duration.seconds(TIMEOUT_S),
            memory_size=256,
            role=function_role(self, self.logs, in_vpc=True),
            log_group=self.logs,
            vpc=watched.network.vpc,
            vpc_subnets=watched.network.subnets,
            security_groups=[watched.group],
            environment={**watched.environment(role), **(more or {})},
            reserved_concurrent_executions=reserved(watched.plan),
            retry_attempts=0,
            max_event_age=Duration.seconds(RETRY_S),
        )
        watched.grant(self.function, role)
        self.function.node.add_dependency(watched.roles)
        events.Rule(
            self,
            "Schedule",
            description=description,
            schedule=events.Schedule.rate(Duration.minutes(every_min)),
            targets=[
                targets.LambdaFunction(
                    self.function, retry_attempts=0, max_event_age=Duration.seconds(RETRY_S)
                )
            ],
        )


def reserved(plan: Plan) -> int | None:
    """Return 1, or None where Lambda would refuse it: the last hundred stay unreserved.

    Then the role's CONNECTION LIMIT alone keeps a second one out, which it does anyway.
    """
    left = "unreserved_concurrency"
    if left in plan and plan.whole(left) < UNRESERVED_LEAST + WATCHERS:
        return None
    return 1


def watcher_package(noun: str, ca: str) -> Package:
    """Return what its zip holds; all of it is pure Python."""
    return Package(
        folders={"broker": places.LIBRARY, f"lambdas/{noun}": places.lambdas() / noun},
        texts={RDS_CA: ca, "lambdas/__init__.py": ""},
        pure=(*DRIVER, *POWERTOOLS),
        without=LEFT_OUT,
    )
