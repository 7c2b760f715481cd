"""What holds for every flavour, new or existing, instance or cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import CASES, Synthesized

Synth = Callable[[str], Synthesized]
every = pytest.mark.parametrize("case", CASES)
NEW = [case for case in CASES if "-new-" in case]

NAMELESS = {
    # Lambda's own network interfaces, and the login at ECR: no resource can be named.
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
}


KEPT = {
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBSubnetGroup",
    "AWS::RDS::DBParameterGroup",
    "AWS::RDS::DBClusterParameterGroup",
    "AWS::EC2::VPC",
    "AWS::EC2::Subnet",
}


def of_the_database(resource: dict[str, Any]) -> bool:
    """Whether it is the database's security group."""
    told = str(resource.get("Properties", {}).get("GroupDescription", ""))
    return told.startswith("The database:")


def statements(stack: Synthesized) -> Iterator[dict[str, Any]]:
    """Yield every IAM statement of the stack."""
    for policy in stack.properties("AWS::IAM::Policy"):
        yield from policy["PolicyDocument"]["Statement"]
    for role in stack.properties("AWS::IAM::Role"):
        for inline in role.get("Policies", []):
            yield from inline["PolicyDocument"]["Statement"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@every
def test_nothing_is_looked_up(synth: Synth, case: str) -> None:
    assert "missing" not in synth(case).manifest


@every
def test_no_statement_is_wider_than_it_must_be(synth: Synth, case: str) -> None:
    for statement in statements(synth(case)):
        assert not any("*" in action for action in listed(statement["Action"]))
        if any(each == "*" for each in listed(statement["Resource"])):
            assert set(listed(statement["Action"])) <= NAMELESS


@every
def test_no_role_has_a_managed_policy(synth: Synth, case: str) -> None:
    assert not any("ManagedPolicyArns" in role for role in synth(case).properties("AWS::IAM::Role"))


@every
def test_rules_name_groups_and_one_port(synth: Synth, case: str) -> None:
    for kind in ("Ingress", "Egress"):
        for rule in synth(case).properties(f"AWS::EC2::SecurityGroup{kind}"):
            assert "SourceSecurityGroupId" in rule or "DestinationSecurityGroupId" in rule
            assert "CidrIp" not in rule
            assert rule["FromPort"] == rule["ToPort"] or rule["FromPort"] == {
                "Fn::GetAtt": rule["ToPort"].get("Fn::GetAtt")
            }
            assert rule["IpProtocol"] == "tcp"


@every
def test_the_world_is_let_in_nowhere(synth: Synth, case: str) -> None:
    for group in synth(case).properties("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", []):
            assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("10.0.0.0/16", 443, 443)


@every
def test_what_goes_out_to_anywhere_is_https(synth: Synth, case: str) -> None:
    for group in synth(case).properties("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupEgress", []):
            if rule["CidrIp"] == "0.0.0.0/0":
                assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
            else:
                assert rule["CidrIp"] == "255.255.255.255/32"  # the CDK's way to say nowhere


@every
def test_the_database_and_what_it_stands_on_are_kept_and_the_rest_goes(
    synth: Synth, case: str
) -> None:
    for resource in synth(case).template["Resources"].values():
        kept = resource.get("DeletionPolicy") == "Retain"
        assert kept == (resource["Type"] in KEPT or of_the_database(resource)), resource["Type"]


@every
def test_logs_end(synth: Synth, case: str) -> None:
    for group in synth(case).properties("AWS::Logs::LogGroup"):
        assert group["RetentionInDays"] == 30


@every
def test_no_password_is_written_anywhere(synth: Synth, case: str) -> None:
    for secret in synth(case).properties("AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret
        template = secret["GenerateSecretString"].get("SecretStringTemplate", "{}")
        assert set(json.loads(template)) <= {"username"}
    text = json.dumps(synth(case).template)
    assert "resolve:secretsmanager" not in text


@every
def test_the_plan_s_roles_reach_the_provisioner(synth: Synth, case: str) -> None:
    stack = synth(case)
    plan = stack.stack.broker.plan
    made = stack.one("Custom::BrokerRoles")
    assert made["Databases"] == ["appdb"]
    assert made["TlsCa"] == "rds"
    text = made["Roles"]
    joined = "".join(part if isinstance(part, str) else "ARN" for part in text["Fn::Join"][1])
    roles = {role["name"]: role for role in json.loads(joined)}
    monitor, reaper = (
        next(role for role in roles.values() if role["kind"] == kind)
        for kind in ("monitor", "reaper")
    )
    assert set(roles) == {"app", monitor["name"], reaper["name"]}
    for role in (monitor, reaper):
        assert role["name"].startswith(f"broker_{role['kind']}_{stack.stack.stack_name}_")
    assert roles["app"]["kind"] == "app"
    assert roles["app"]["connection_limit"] == plan.whole("connection_limit.app")
    assert roles["app"]["secret_arn"] == "ARN"
    for role in roles.values():
        for name, value in role["settings"].items():
            assert value == f"{plan.whole(name)}s"
    assert monitor["secret_arn"] == "ARN"
    both = monitor["connection_limit"] + reaper["connection_limit"]
    assert both == plan.whole("reserved.monitor")


@every
def test_the_roles_wait_for_the_server_and_the_way_to_it(synth: Synth, case: str) -> None:
    stack = synth(case)
    (made,) = stack.all("Custom::BrokerRoles").values()
    needed = set(made["DependsOn"])
    assert needed >= set(stack.all("AWS::RDS::DBInstance")) | set(stack.all("AWS::RDS::DBCluster"))
    rules = {
        name
        for name, rule in stack.all("AWS::EC2::SecurityGroupIngress").items()
        if rule["Properties"]["Description"] == "The provisioner makes roles"
    }
    assert rules and rules <= needed
    assert needed >= set(stack.all("AWS::EC2::VPCEndpoint"))


@every
def test_the_layer_is_for_every_python_and_processor_of_lambda_s(synth: Synth, case: str) -> None:
    layer = synth(case).one("AWS::Lambda::LayerVersion")
    assert layer["CompatibleRuntimes"] == [f"python3.{minor}" for minor in (11, 12, 13, 14)]
    assert layer["CompatibleArchitectures"] == ["arm64", "x86_64"]


@every
def test_a_provisioner_that_cannot_start_ends_the_deployment_soon(synth: Synth, case: str) -> None:
    stack = synth(case)
    custom = [
        each
        for each in stack.template["Resources"].values()
        if each["Type"].startswith("Custom::")
        or each["Type"] == "AWS::CloudFormation::CustomResource"
    ]
    assert len(custom) == (2 if "pgbouncer" in case else 1)
    for resource in custom:
        wait_s = int(resource["Properties"]["ServiceTimeout"])
        (provisioner,) = [
            each["Properties"]["Timeout"]
            for name, each in stack.all("AWS::Lambda::Function").items()
            if name.startswith("BrokerProvisioner")
        ]
        assert 2 * provisioner + 60 < wait_s <= 15 * 60  # an attempt, a pause, and another


@every
def test_the_provisioner_reads_the_administrator_s_secret_and_writes_none_of_it(
    synth: Synth, case: str
) -> None:
    stack = synth(case)
    (policy,) = [
        policy
        for policy in stack.properties("AWS::IAM::Policy")
        if policy["PolicyName"].startswith("BrokerProvisionerRole")
    ]
    admin = json.dumps(stack.one("Custom::BrokerRoles")["AdminSecretArn"])
    reads = writes = False
    for statement in policy["PolicyDocument"]["Statement"]:
        named = admin in [json.dumps(each) for each in listed(statement["Resource"])]
        actions = listed(statement["Action"])
        reads |= named and "secretsmanager:GetSecretValue" in actions
        writes |= named and "secretsmanager:PutSecretValue" in actions
    assert reads
    assert not writes


@pytest.mark.parametrize("case", NEW)
def test_nothing_here_reaches_or_is_reached_from_the_internet(synth: Synth, case: str) -> None:
    stack = synth(case)
    for kind in ("InternetGateway", "NatGateway", "EIP"):
        assert not stack.all(f"AWS::EC2::{kind}")
    assert not any(s["MapPublicIpOnLaunch"] for s in stack.properties("AWS::EC2::Subnet"))
    assert len(stack.all("AWS::EC2::Subnet")) == 2


@pytest.mark.parametrize("case", NEW)
def test_what_is_refused_is_logged(synth: Synth, case: str) -> None:
    assert synth(case).one("AWS::EC2::FlowLog")["TrafficType"] == "REJECT"


@pytest.mark.parametrize("case", [case for case in CASES if "-existing-" in case])
def test_an_existing_database_and_vpc_are_left_as_they_are(synth: Synth, case: str) -> None:
    kinds = {each["Type"] for each in synth(case).template["Resources"].values()}
    assert not kinds & {
        "AWS::RDS::DBInstance",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBParameterGroup",
        "AWS::EC2::VPC",
        "AWS::EC2::Subnet",
    }
    rules = synth(case).properties("AWS::EC2::SecurityGroupIngress")
    assert [rule for rule in rules if rule["GroupId"] == "sg-0123456789abcdef0"]
