"""What the plan says, against what is there: one check a resource, each reads it back itself."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from broker.pgbouncer import Hosting, render_ini
from broker.plan import Plan
from broker.plan.deployment import Flavour
from broker.plan.drift import ROLE_TIMEOUTS
from tests.deployment.site import Site
from tests.deployment.variant import functions_of
from tests.deployment.watching import role_of

TIMEOUTS = (*ROLE_TIMEOUTS, "lock_timeout")


def check(site: Site, plan: Plan) -> None:
    """Compare everything that the plan decides."""
    roles(site, plan)
    parameters(site, plan)
    functions(site, plan)
    between(site, plan)


def between(site: Site, plan: Plan) -> None:
    """Compare what stands between the functions and the database."""
    {Flavour.DIRECT: leases, Flavour.PGBOUNCER: pooler, Flavour.RDS_PROXY: proxy}[site.flavour](
        site, plan
    )


def roles(site: Site, plan: Plan, *, groups: Collection[str] = ()) -> None:
    """Ask the server itself for the roles, with their limits, defaults and groups."""
    (pair,) = plan.deployment.middle.pairs
    app = site.role(pair.user)
    assert app["limit"] == plan.whole(f"connection_limit.{pair.user}")
    assert app["settings"] == {name: f"{plan.whole(name)}s" for name in ROLE_TIMEOUTS}
    assert app["logs_in"]
    assert app["groups"] == set(groups)
    assert "pg_monitor" in site.role(role_of(site, "Monitor"))["groups"]
    assert "pg_signal_backend" in site.role(role_of(site, "Reaper"))["groups"]


def parameters(site: Site, plan: Plan) -> None:
    """Find the plan's timeouts in the parameter group."""
    rds, stack = site.emulator.client("rds"), site.stack
    if site.flavour is Flavour.RDS_PROXY:
        group = stack.the("RDS::DBClusterParameterGroup")
        pages = rds.get_paginator("describe_db_cluster_parameters").paginate(
            DBClusterParameterGroupName=group, Source="user"
        )
    else:
        group = stack.the("RDS::DBParameterGroup")
        pages = rds.get_paginator("describe_db_parameters").paginate(
            DBParameterGroupName=group, Source="user"
        )
    found = {
        each["ParameterName"]: each["ParameterValue"] for p in pages for each in p["Parameters"]
    }
    assert {name: found[name] for name in TIMEOUTS} == {
        name: str(plan.whole(name) * 1000) for name in TIMEOUTS
    }
    assert found["rds.force_ssl"] == "1"


def functions(site: Site, plan: Plan) -> None:
    """Find the concurrency and the timeout that the plan counts on at each function."""
    functions = site.emulator.client("lambda")
    for name in functions_of(plan):
        given = site.stack.output(f"{name}Function")
        reserved = functions.get_function_concurrency(FunctionName=given)
        planned = plan.whole(f"reserved_concurrency.{name}")
        assert reserved["ReservedConcurrentExecutions"] == planned
        configured = functions.get_function_configuration(FunctionName=given)
        (application,) = [each for each in plan.deployment.applications if each.name == name]
        assert configured["Timeout"] == application.timeout_s
        variables = configured["Environment"]["Variables"]
        assert variables["BROKER_FLAVOUR"] == site.flavour.value
        assert variables["BROKER_HOST"] == site.stack.output("Host")
        assert not any("PASSWORD" in variable for variable in variables)


def leases(site: Site, plan: Plan) -> None:
    """Find the table of leases, and that the functions are told the fleet's cap."""
    configured = site.emulator.client("lambda").get_function_configuration(
        FunctionName=site.stack.output("ordersFunction")
    )
    variables = configured["Environment"]["Variables"]
    assert variables["BROKER_CAP"] == str(plan.whole("cap"))
    assert variables["BROKER_CAP_TABLE"] == site.stack.the("DynamoDB::Table")


def proxy(site: Site, plan: Plan) -> None:
    """Find the plan's percentages and times at RDS Proxy, TLS, and an endpoint of the readers."""
    rds = site.emulator.client("rds")
    name = site.stack.the("RDS::DBProxy")
    (found,) = rds.describe_db_proxies(DBProxyName=name)["DBProxies"]
    assert found["RequireTLS"]
    assert found["IdleClientTimeout"] == plan.whole("idle_client_timeout")
    (group,) = rds.describe_db_proxy_target_groups(DBProxyName=name)["TargetGroups"]
    pool = group["ConnectionPoolConfig"]
    assert {
        "max_connections_percent": pool["MaxConnectionsPercent"],
        "max_idle_connections_percent": pool["MaxIdleConnectionsPercent"],
        "connection_borrow_timeout": pool["ConnectionBorrowTimeout"],
    } == {
        key: plan.whole(key)
        for key in (
            "max_connections_percent",
            "max_idle_connections_percent",
            "connection_borrow_timeout",
        )
    }
    targets = rds.describe_db_proxy_targets(DBProxyName=name)["Targets"]
    (cluster,) = rds.describe_db_clusters()["DBClusters"]
    assert cluster["DBClusterIdentifier"] in {each.get("RdsResourceId") for each in targets}
    endpoints = rds.describe_db_proxy_endpoints(DBProxyName=name)["DBProxyEndpoints"]
    assert {each["TargetRole"] for each in endpoints} == {"READ_WRITE", "READ_ONLY"}


def pooler(site: Site, plan: Plan) -> None:
    """Find the plan's tasks on the plan's pgbouncer.ini, behind PostgreSQL's port."""
    (service,) = services(site)
    assert service["desiredCount"] == plan.deployment.middle.tasks
    rollout = service["deploymentConfiguration"]
    assert rollout["maximumPercent"] == plan.deployment.middle.overlap * 100
    assert rollout["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    container = task(site)
    environment = {each["name"]: each["value"] for each in container["environment"]}
    host = endpoint(site)
    rendered = {
        f"PGBOUNCER_INI_{number}": render_ini(plan, Hosting(host=host, port=5432), process=number)
        for number in range(1, plan.deployment.middle.processes + 1)
    }
    assert {name: environment[name] for name in rendered} == rendered
    secrets = {each["name"]: each["valueFrom"] for each in container["secrets"]}
    assert set(secrets) == {
        "PGBOUNCER_SERVER_SECRET_1",
        "PGBOUNCER_CLIENT_SECRET_1",
        "PGBOUNCER_CERTIFICATE",
    }
    balancer = site.emulator.client("elbv2")
    arn = site.stack.the("ElasticLoadBalancingV2::LoadBalancer")
    (listener,) = balancer.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("TCP", 5432)
    (targets,) = balancer.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
    assert (targets["Protocol"], targets["Port"]) == ("TCP", 6432)


def services(site: Site) -> list[dict[str, Any]]:
    """Return the stack's ECS services."""
    found: list[dict[str, Any]] = site.emulator.client("ecs").describe_services(
        cluster=site.stack.the("ECS::Cluster"), services=site.stack.of("ECS::Service")
    )["services"]
    return found


def task(site: Site) -> dict[str, Any]:
    """Return the pooler's container that the service runs now."""
    (service,) = services(site)
    described = site.emulator.client("ecs").describe_task_definition(
        taskDefinition=service["taskDefinition"]
    )
    containers = described["taskDefinition"]["containerDefinitions"]
    (container,) = [each for each in containers if each["name"] == "pgbouncer"]
    return dict(container)


def endpoint(site: Site) -> str:
    """Return the database's name."""
    (found,) = site.emulator.client("rds").describe_db_instances()["DBInstances"]
    return str(found["Endpoint"]["Address"])


def secret(site: Site, arn: str) -> dict[str, str]:
    """Return what is in a secret."""
    text = site.emulator.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    return dict(json.loads(text))
