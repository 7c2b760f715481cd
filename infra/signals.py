"""Signals: the metrics that are watched, by the names and dimensions they are really emitted under.

The functions' are broker/metrics.py's, the server's lambdas/monitor's and lambdas/reaper's, the
pooler's the exporter's beside it; RDS Proxy's, the load balancer's and Lambda's are AWS' own.
"""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

NAMESPACE = "LambdaPgBroker"  # BROKER_METRICS_NAMESPACE's default
PERIOD_S = 60
PROXY_GAUGE = "Sum"  # AWS' advice: each of the proxy's hosts reports its own part


def name_in_metrics(broker: Construct) -> str:
    """Return the name that a ConnectionBroker's server and pooler have in metrics."""
    return f"{Stack.of(broker).stack_name}/{broker.node.id}"


def path_of(broker: Construct) -> str:
    """Return the name of its outermost stack, and its path in that: nobody else's in the region."""
    stack = Stack.of(broker)
    while stack.nested_stack_parent is not None:
        stack = stack.nested_stack_parent
    return f"{stack.stack_name}/{broker.node.path.removeprefix(stack.node.path + '/')}"


def of_server(server: str, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of the monitor's or the reaper's metrics."""
    return _metric(NAMESPACE, name, statistic, {"server": server})


def of_pooler(pooler: str, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of the exporter's metrics; every task emits one value a minute."""
    return _metric(NAMESPACE, name, statistic, {"pooler": pooler})


def of_function(function: str, flavour: str, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of the broker's own metrics in a function."""
    return _metric(NAMESPACE, name, statistic, {"function": function, "flavour": flavour})


def of_lambda(function: str, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of Lambda's metrics of a function."""
    return _metric("AWS/Lambda", name, statistic, {"FunctionName": function})


def of_proxy(proxy: str, name: str, statistic: str = PROXY_GAUGE) -> cloudwatch.Metric:
    """Return one of RDS Proxy's metrics, of all its endpoints."""
    return _metric("AWS/RDS", name, statistic, {"ProxyName": proxy})


def share_of_proxy(proxy: str, name: str) -> cloudwatch.MathExpression:
    """Return a gauge of RDS Proxy's as a percentage of the sessions that it may open."""
    return cloudwatch.MathExpression(
        expression="100 * part / most",
        using_metrics={
            "part": of_proxy(proxy, name),
            "most": of_proxy(proxy, "MaxDatabaseConnectionsAllowed"),
        },
        label=f"{name}, % of the pool",
        period=Duration.seconds(PERIOD_S),
    )


def each_of_server(server: str, name: str, dimension: str) -> cloudwatch.MathExpression:
    """Return a metric of the server's for every value of one more dimension, for a graph."""
    return cloudwatch.MathExpression(
        expression=(
            f'SEARCH(\'{{{NAMESPACE},{dimension},server}} MetricName="{name}" '
            f"server=\"{server}\"', 'Maximum', {PERIOD_S})"
        ),
        using_metrics={},
        label="",
        period=Duration.seconds(PERIOD_S),
    )


def _metric(
    namespace: str, name: str, statistic: str, dimensions: dict[str, str]
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        statistic=statistic,
        dimensions_map=dimensions,
        period=Duration.seconds(PERIOD_S),
    )
