"""Who may read which secret, log in as whom and is let in where: no more than docs/security.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import BROKER, FLAVOURS, TWO_PAIRS, TWO_USERS, Synthesized, toml

Synthesize = Callable[..., Synthesized]
Stack = Callable[[str], Synthesized]

ROLES = {
    "BrokerProvisionerRole": "provisioner",
    "BrokerPoolerTaskExecutionRole": "tasks",
    "BrokerPoolerTaskTaskRole": "containers",
    "BrokerProxyRole": "proxy",
    "BrokerProxyIAMRole": "proxy",
    "BrokerRollerRole": "roller",
    "BrokerWatchMonitorRole": "monitor",
    "BrokerWatchReaperRole": "reaper",
    "VpcRejectedIAMRole": "flow log",
    "ordersRole": "orders",
    "reportsRole": "reports",
}
SECRETS = {
    "Database": "administrator",
    "BrokerAuthority": "authority",
    "BrokerCertificate": "certificate",
    "BrokerServerSecretsapp": "app",
    "BrokerServerSecretsreader": "reader",
    "BrokerClientSecretsappclient": "app_client",
    "BrokerWatcherSecretsbrokermonitor": "monitor's",
    "BrokerWatcherSecretsbrokerreaper": "reaper's",
}
GROUPS = {
    "Functions that use the broker": "functions",
    "The database: who may connect is in its rules": "database",
    "The monitor and the reaper": "watchers",
    "The poolers": "poolers",
    "The provisioner": "provisioner",
    "Load balancer of the poolers: its rules say who may connect": "balancer",
    "RDS Proxy: its rules say who may connect": "proxy",
}
OF_ITS_OWN = {
    "administrator": {"provisioner"},
    "monitor's": {"provisioner", "monitor"},
    "reaper's": {"provisioner", "reaper"},
}
POOLERS = {"authority": {"provisioner"}, "certificate": {"provisioner", "tasks"}}
READERS = {
    "direct": {"app": {"provisioner", "orders", "reports"}},
    "pgbouncer": {
        **POOLERS,
        "app": {"provisioner", "tasks"},
        "app_client": {"tasks", "orders", "reports"},
    },
    "rds-proxy": {"app": {"provisioner", "proxy", "orders", "reports"}},
}
LET_IN = {
    "direct": {("functions", "database")},
    "pgbouncer": {("functions", "balancer"), ("balancer", "poolers"), ("poolers", "database")},
    "rds-proxy": {("functions", "proxy"), ("proxy", "database")},
}


@pytest.fixture(scope="module")
def stack(synthesize: Synthesize) -> Stack:
    """Synthesize a flavour with two functions on its broker, once."""
    known: dict[str, Synthesized] = {}

    def find(flavour: str) -> Synthesized:
        if flavour not in known:
            text = toml(flavour, broker=BROKER[flavour])
            known[flavour] = synthesize(text, connect=["orders", "reports"])
        return known[flavour]

    return find


def known_as(names: dict[str, str], logical: str) -> str:
    """Return the name that this page has for a logical id, whose end is a hash."""
    found = [short for start, short in names.items() if logical.startswith(start)]
    assert len(found) == 1, f"{logical}: {found}"
    return found[0]


def allowed(stack: Synthesized, action: str) -> Iterator[tuple[str, Any]]:
    """Yield each role that may do it, and a resource that it may do it to."""
    for policy in stack.properties("AWS::IAM::Policy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            actions, resources = statement["Action"], statement["Resource"]
            if action in (actions if isinstance(actions, list) else [actions]):
                for resource in resources if isinstance(resources, list) else [resources]:
                    for role in policy["Roles"]:
                        yield known_as(ROLES, role["Ref"]), resource


def readers(stack: Synthesized) -> dict[str, set[str]]:
    """Return by secret who may read it."""
    found: dict[str, set[str]] = {}
    for role, resource in allowed(stack, "secretsmanager:GetSecretValue"):
        logical = resource["Ref"] if "Ref" in resource else resource["Fn::GetAtt"][0]
        found.setdefault(known_as(SECRETS, logical), set()).add(role)
    return found


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_secret_is_read_by_those_of_the_page_and_by_nobody_else(
    stack: Stack, flavour: str
) -> None:
    assert readers(stack(flavour)) == OF_ITS_OWN | READERS[flavour]


def test_of_two_users_each_function_reads_its_own_user_s_secret(synthesize: Synthesize) -> None:
    text = toml(broker=TWO_PAIRS, functions=TWO_USERS)
    found = readers(synthesize(text, connect=["orders", "reports"]))
    assert found["app"] == {"provisioner", "tasks", "orders"}
    assert found["reader"] == {"provisioner", "tasks", "reports"}


@pytest.mark.parametrize("flavour", ["direct", "rds-proxy"])
def test_with_iam_each_role_logs_in_as_its_own_user_alone(
    synthesize: Synthesize, flavour: str
) -> None:
    text = toml(flavour, broker=BROKER[flavour], deploy='auth = "iam"')
    stack = synthesize(text, connect=["orders"])
    found: dict[str, set[str]] = {}
    for role, arn in allowed(stack, "rds-db:connect"):
        assert "*" not in json.dumps(arn)
        user = arn["Fn::Join"][1][-1].rpartition("/")[2]
        found.setdefault(role, set()).add(user.removesuffix("_broker_122e382f"))
    behind = {"proxy": {"app"}} if flavour == "rds-proxy" else {}
    watchers = {"monitor": {"broker_monitor"}, "reaper": {"broker_reaper"}}
    assert found == {"orders": {"app"}, **watchers, **behind}
    assert readers(stack) == {"administrator": {"provisioner"}}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_hop_lets_in_the_one_before_it_and_no_other(stack: Stack, flavour: str) -> None:
    groups = {
        name: GROUPS[each["Properties"]["GroupDescription"]]
        for name, each in stack(flavour).all("AWS::EC2::SecurityGroup").items()
        if each["Properties"]["GroupDescription"] in GROUPS
    }
    found = {
        tuple(groups[rule[end]["Fn::GetAtt"][0]] for end in ("SourceSecurityGroupId", "GroupId"))
        for rule in stack(flavour).properties("AWS::EC2::SecurityGroupIngress")
    }
    ours = {("provisioner", "database"), ("watchers", "database")}
    assert found == LET_IN[flavour] | ours


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_function_is_told_to_verify_less(stack: Stack, flavour: str) -> None:
    """verify-full is the library's default: the variable would only take from it."""
    told = [
        each.get("Environment", {}).get("Variables", {})
        for each in stack(flavour).properties("AWS::Lambda::Function")
    ]
    brokers = [variables for variables in told if "BROKER_HOST" in variables]
    assert len(brokers) == 4, "two functions, the monitor and the reaper"
    for variables in brokers:
        assert "BROKER_TLS" not in variables
        assert "BROKER_PASSWORD" not in variables


def test_the_roller_may_update_the_one_service_and_read_no_secret(stack: Stack) -> None:
    made = stack("pgbouncer")
    (service,) = made.all("AWS::ECS::Service")
    assert list(allowed(made, "ecs:UpdateService")) == [("roller", {"Ref": service})]
    assert all("roller" not in each for each in readers(made).values())
    (roller,) = [name for name in made.all("AWS::Lambda::Function") if "Roller" in name]
    called = {"Fn::GetAtt": [roller, "Arn"]}
    assert list(allowed(made, "lambda:InvokeFunction")) == [("provisioner", called)]


def test_what_runs_in_a_task_may_call_nothing_of_aws(stack: Stack) -> None:
    """Its secrets are given to it: a container's own role has no policy."""
    made = stack("pgbouncer")
    (own,) = [name for name in made.all("AWS::IAM::Role") if "TaskTaskRole" in name]
    assert made.one("AWS::ECS::TaskDefinition")["TaskRoleArn"] == {"Fn::GetAtt": [own, "Arn"]}
    assert "Policies" not in made.all("AWS::IAM::Role")[own]["Properties"]
    for policy in made.properties("AWS::IAM::Policy"):
        assert {"Ref": own} not in policy["Roles"]


def test_the_leases_are_encrypted_at_rest(stack: Stack) -> None:
    table = stack("direct").one("AWS::DynamoDB::Table")
    assert table["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_must_name_every_resource_is_acknowledged_with_its_reason(
    stack: Stack, flavour: str
) -> None:
    made = stack(flavour)
    (name,) = made.directory.glob("*.metadata.json")
    reasons = {
        (path, rule): reason
        for path, entries in json.loads(name.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
        if "AwsSolutions" in rule
    }
    assert all(len(reason.split()) >= 5 for reason in reasons.values())
    wide = sum(
        any(s["Resource"] == "*" for s in policy["PolicyDocument"]["Statement"])
        for policy in made.properties("AWS::IAM::Policy")
    )
    stars = [rule for _, rule in reasons if rule.endswith("IAM5[Resource::*]")]
    assert len(stars) == wide > 0
