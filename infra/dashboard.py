"""Dashboard: from left to right as a request travels: functions, broker, database, findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from broker.plan import Plan

from .signals import (
    each_of_server,
    of_function,
    of_lambda,
    of_pooler,
    of_proxy,
    of_server,
    share_of_proxy,
)

COLUMN = 6  # of 24: four columns
HEIGHT = 6

Metrics = Iterable[cloudwatch.IMetric]


class Dashboard(Construct):
    """Four columns; functions join the first two when they are connected."""

    def __init__(
        self, scope: Construct, id: str, *, server: str, plan: Plan, middle: Metrics
    ) -> None:
        super().__init__(scope, id)
        self._flavour = plan.deployment.middle.flavour.value
        self._running = _graph("Environments at once, throttles", [])
        self._failing = _graph("Errors and the longest duration", [])
        self._refused = _graph("53300 met, retries", [])
        self._sessions = _graph("Sessions opened, time to connect", [])
        self._dashboard = cloudwatch.Dashboard(self, "Dashboard")
        self._dashboard.add_widgets(
            _column("1. Functions", [self._running, self._failing]),
            _column(
                f"2. Broker ({self._flavour})",
                [self._refused, self._sessions, _graph("In between", middle)],
            ),
            _column("3. Database", _database(server, plan)),
            _column("4. Findings", _findings(server)),
        )

    def add_alarms(self, alarms: Iterable[cloudwatch.IAlarm]) -> None:
        """Show which of these ring, below."""
        self._dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=4 * COLUMN)
        )

    def add_function(self, function: str) -> None:
        """Let one more function's metrics be on the graphs."""
        for name in ("ConcurrentExecutions", "Throttles"):
            statistic = "Sum" if name == "Throttles" else "Maximum"
            self._running.add_left_metric(of_lambda(function, name, statistic))
        self._failing.add_left_metric(of_lambda(function, "Errors", "Sum"))
        self._failing.add_right_metric(of_lambda(function, "Duration", "Maximum"))
        for name in ("TooManyConnections", "ConnectRetries", "TransactionRetries"):
            self._refused.add_left_metric(of_function(function, self._flavour, name, "Sum"))
        self._sessions.add_left_metric(
            of_function(function, self._flavour, "SessionsOpened", "Sum")
        )
        self._sessions.add_right_metric(of_function(function, self._flavour, "ConnectTime", "p99"))


def pooler_metrics(pooler: str, healthy: cloudwatch.IMetric) -> list[cloudwatch.IMetric]:
    """Return what a look at PgBouncer's tasks needs."""
    return [
        of_pooler(pooler, "ClientsActive", "Sum"),
        of_pooler(pooler, "ClientsWaiting", "Sum"),
        of_pooler(pooler, "ClientsUsedPercent", "Maximum"),
        of_pooler(pooler, "SessionsActive", "Sum"),
        of_pooler(pooler, "SessionsIdle", "Sum"),
        of_pooler(pooler, "PoolUsedPercent", "Maximum"),
        of_pooler(pooler, "MaxWaitMs", "Maximum"),
        of_pooler(pooler, "LoginsFailed", "Sum"),
        healthy,
    ]


def proxy_metrics(proxy: str) -> list[cloudwatch.IMetric]:
    """Return what a look at RDS Proxy needs."""
    return [
        of_proxy(proxy, "ClientConnections"),
        of_proxy(proxy, "DatabaseConnections"),
        share_of_proxy(proxy, "DatabaseConnections"),
        of_proxy(proxy, "DatabaseConnectionsBorrowLatency", "Average"),
    ]


def _database(server: str, plan: Plan) -> list[cloudwatch.GraphWidget]:
    limit = cloudwatch.HorizontalAnnotation(
        value=plan.whole("alarm_sessions"), label="the alarm's share, in the plan"
    )
    used = [of_server(server, name, "Maximum") for name in ("SessionsUsed", "MaxConnections")]
    idle = [
        of_server(server, name, "Maximum") for name in ("IdleInTransaction", "Waiting", "Blocked")
    ]
    oldest = [
        of_server(server, f"Oldest{what}Seconds", "Maximum")
        for what in ("IdleInTransaction", "Transaction")
    ]
    return [
        _graph("Sessions of max_connections", used, line=limit),
        _graph("Idle in transaction, waiting, blocked", idle),
        _graph("Oldest, in seconds", oldest),
        _graph(
            "Sessions by application",
            [each_of_server(server, "SessionsByApplication", "application")],
        ),
    ]


def _findings(server: str) -> list[cloudwatch.GraphWidget]:
    ended = [
        of_server(server, name, "Sum")
        for name in ("SessionsReaped", "SessionsToReap", "DatabaseSessionsAbandoned")
    ]
    alive = [of_server(server, name, "Sum") for name in ("Heartbeat", "MonitorRefused")]
    return [
        _graph("Findings by kind", [each_of_server(server, "FindingsByKind", "kind")]),
        _graph("Reaped, to reap, abandoned", ended),
        _graph("The monitor's heartbeat, and refusals", alive),
    ]


def _graph(
    title: str, metrics: Metrics, line: cloudwatch.HorizontalAnnotation | None = None
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        width=COLUMN,
        height=HEIGHT,
        left=list(metrics),
        left_annotations=[line] if line else None,
    )


def _column(title: str, graphs: Iterable[cloudwatch.GraphWidget]) -> cloudwatch.IWidget:
    heading = cloudwatch.TextWidget(markdown=f"## {title}", width=COLUMN, height=1)
    # A Column is an IWidget by jsii's word; its Python type lacks two of the protocol's members.
    return cast("cloudwatch.IWidget", cloudwatch.Column(heading, *graphs))
