"""RDS Proxy and direct, as the template has them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from broker.cap.table import SCHEMA, TTL_ATTRIBUTE

from .conftest import BROKER, Synthesized, toml

Synth = Callable[[str], Synthesized]
PROXIES = [
    f"proxy-{origin}-{kind}" for origin in ("new", "existing") for kind in ("instance", "cluster")
]
DIRECT = [case.replace("proxy", "direct") for case in PROXIES]


@pytest.mark.parametrize("case", PROXIES)
def test_the_proxy_s_numbers_are_the_plan_s(synth: Synth, case: str) -> None:
    stack = synth(case)
    plan = stack.stack.broker.plan
    pool = stack.one("AWS::RDS::DBProxyTargetGroup")["ConnectionPoolConfigurationInfo"]
    assert pool["MaxConnectionsPercent"] == plan.whole("max_connections_percent")
    assert pool["MaxIdleConnectionsPercent"] == plan.whole("max_idle_connections_percent")
    assert pool["ConnectionBorrowTimeout"] == plan.whole("connection_borrow_timeout")
    assert 0 < pool["ConnectionBorrowTimeout"] < 30  # the shortest function's time
    assert "SessionPinningFilters" not in pool
    assert "InitQuery" not in pool
    assert stack.one("AWS::RDS::DBProxy")["IdleClientTimeout"] == plan.whole("idle_client_timeout")


@pytest.mark.parametrize("case", PROXIES)
def test_the_proxy_demands_tls_and_scram(synth: Synth, case: str) -> None:
    proxy = synth(case).one("AWS::RDS::DBProxy")
    assert proxy["RequireTLS"] is True
    assert proxy["EngineFamily"] == "POSTGRESQL"
    assert [each["ClientPasswordAuthType"] for each in proxy["Auth"]] == ["POSTGRES_SCRAM_SHA_256"]
    assert [each["IAMAuth"] for each in proxy["Auth"]] == ["DISABLED"]
    assert not proxy.get("DebugLogging")


@pytest.mark.parametrize("case", PROXIES)
def test_the_proxy_reads_the_users_secrets_alone(synth: Synth, case: str) -> None:
    stack = synth(case)
    (policy,) = [
        each
        for name, each in stack.all("AWS::IAM::Policy").items()
        if name.startswith("BrokerProxy")
    ]
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    (secret,) = [
        name for name in stack.all("AWS::SecretsManager::Secret") if "ServerSecrets" in name
    ]
    assert [each["Resource"] for each in statements] == [{"Ref": secret}]


@pytest.mark.parametrize("case", PROXIES)
def test_a_cluster_s_proxy_has_a_read_only_endpoint(synth: Synth, case: str) -> None:
    found = synth(case).properties("AWS::RDS::DBProxyEndpoint")
    assert len(found) == ("cluster" in case)
    assert all(each["TargetRole"] == "READ_ONLY" for each in found)
    assert all(len(each["VpcSecurityGroupIds"]) == 1 for each in found)


@pytest.mark.parametrize("kind", ["instance", "cluster"])
def test_with_iam_both_hops_are_iam_and_the_role_may_log_in(
    synthesize: Callable[..., Synthesized], kind: str
) -> None:
    stack = synthesize(
        toml("rds-proxy", kind=kind, broker=BROKER["rds-proxy"], deploy='auth = "iam"')
    )
    proxy = stack.one("AWS::RDS::DBProxy")
    assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
    assert not proxy.get("Auth")
    (policy,) = [
        each
        for name, each in stack.all("AWS::IAM::Policy").items()
        if name.startswith("BrokerProxy")
    ]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "rds-db:connect"
    arn = json.dumps(statement["Resource"])
    assert "ResourceId" in arn
    assert "/app" in arn
    assert "*" not in arn
    assert not stack.all("AWS::SecretsManager::Secret")
    roles = json.loads(stack.one("Custom::BrokerRoles")["Roles"])
    assert [role["secret_arn"] for role in roles] == [None, None, None]


@pytest.mark.parametrize("case", DIRECT)
def test_the_leases_table_is_the_library_s(synth: Synth, case: str) -> None:
    table = synth(case).one("AWS::DynamoDB::Table")
    assert table["KeySchema"] == SCHEMA["KeySchema"]
    assert table["AttributeDefinitions"] == SCHEMA["AttributeDefinitions"]
    assert table["BillingMode"] == SCHEMA["BillingMode"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}


@pytest.mark.parametrize("case", DIRECT)
def test_direct_there_is_nothing_in_between(synth: Synth, case: str) -> None:
    kinds = {each["Type"] for each in synth(case).template["Resources"].values()}
    assert not kinds & {
        "AWS::RDS::DBProxy",
        "AWS::ECS::Service",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
    }


def test_without_a_cap_of_its_own_the_fleet_is_held_to_what_it_may_hold(
    synthesize: Callable[..., Synthesized],
) -> None:
    from infra.cap_table import cap

    stack = synthesize(toml("direct"))
    assert cap(stack.stack.broker.plan) == 2 * (50 + 20)
