"""The VPC: new with and without a way out, or looked up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from broker import UsageError

from .conftest import BROKER, Synthesized, toml

ROOT = Path(__file__).parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

Synthesize = Callable[..., Synthesized]
SERVICES = {
    "direct": {"s3", "dynamodb", "secretsmanager"},
    "pgbouncer": {"s3", "secretsmanager", "ecr.api", "ecr.dkr", "logs"},
    "proxy": {"s3", "secretsmanager"},
}


def services(stack: Synthesized) -> set[str]:
    """Return which services have an endpoint."""
    found = set()
    for endpoint in stack.properties("AWS::EC2::VPCEndpoint"):
        name = endpoint["ServiceName"]
        parts = name["Fn::Join"][1] if isinstance(name, dict) else [name]
        last = next(part for part in reversed(parts) if isinstance(part, str))
        found.add(last.removeprefix("com.amazonaws.").lstrip("."))
    return found


@pytest.mark.parametrize("flavour", SERVICES)
def test_each_service_that_is_called_from_inside_has_an_endpoint(
    synth: Callable[[str], Synthesized], flavour: str
) -> None:
    assert services(synth(f"{flavour}-new-instance")) == SERVICES[flavour]


def test_with_a_nat_gateway_the_interface_endpoints_stay_away(synthesize: Synthesize) -> None:
    stack = synthesize(toml(deploy="[deploy.vpc]\nnat = true"))
    assert len(stack.all("AWS::EC2::NatGateway")) == 1
    assert services(stack) == {"s3"}
    subnets = stack.properties("AWS::EC2::Subnet")
    assert len(subnets) == 4
    assert not any(each["MapPublicIpOnLaunch"] for each in subnets)


def test_a_vpc_s_range_is_as_given(synthesize: Synthesize) -> None:
    stack = synthesize(toml(deploy='[deploy.vpc]\ncidr = "10.8.0.0/20"'))
    assert stack.one("AWS::EC2::VPC")["CidrBlock"] == "10.8.0.0/20"
    blocks = {each["CidrBlock"] for each in stack.properties("AWS::EC2::Subnet")}
    assert blocks == {"10.8.0.0/24", "10.8.1.0/24"}


TABLES = 'route_tables = ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"]'
BROKER_OF = {"proxy": "rds-proxy"}


def existing(flavour: str, vpc: str) -> str:
    """Return a broker.toml of a VPC that is there."""
    flavour = BROKER_OF.get(flavour, flavour)
    return toml(flavour, "existing", broker=BROKER[flavour], vpc=vpc)


@pytest.mark.parametrize("flavour", SERVICES)
def test_in_a_vpc_that_is_there_endpoints_are_made_as_told(
    synthesize: Synthesize, flavour: str
) -> None:
    names = json.dumps(sorted(SERVICES[flavour]))
    stack = synthesize(existing(flavour, f'endpoints = {names}\ncidr = "10.7.0.0/16"\n{TABLES}'))
    assert services(stack) == SERVICES[flavour]
    for endpoint in stack.properties("AWS::EC2::VPCEndpoint"):
        assert endpoint["VpcId"] == "vpc-0123456789abcdef0"
        if endpoint["VpcEndpointType"] == "Gateway":
            assert endpoint["RouteTableIds"] == [
                "rtb-0123456789abcdef0",
                "rtb-0123456789abcdef1",
            ]
        else:
            assert endpoint["SubnetIds"] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
            assert endpoint["PrivateDnsEnabled"] is True
    (group,) = [
        each
        for each in stack.properties("AWS::EC2::SecurityGroup")
        if each["GroupDescription"].startswith("AWS services")
    ]
    (rule,) = group["SecurityGroupIngress"]  # the whole VPC's: its name leads here for all of it
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("10.7.0.0/16", 443, 443)
    (roles,) = stack.all("Custom::BrokerRoles").values()
    assert set(stack.all("AWS::EC2::VPCEndpoint")) <= set(roles["DependsOn"])
    assert not [line for line in stack.told() if "must reach" in line]


@pytest.mark.parametrize("flavour", SERVICES)
def test_without_endpoints_synth_says_what_the_subnets_must_reach(
    synth: Callable[[str], Synthesized], flavour: str
) -> None:
    stack = synth(f"{flavour}-existing-instance")
    assert not stack.all("AWS::EC2::VPCEndpoint")
    (line,) = [line for line in stack.told() if "must reach" in line]
    assert line.startswith("aws:cdk:info: vpc-0123456789abcdef0: its subnets must reach s3, ")
    assert set(line.partition("reach ")[2].partition(" over")[0].split(", ")) == SERVICES[flavour]
    assert "deploy.vpc.endpoints makes endpoints" in line


def test_only_what_is_not_made_is_asked_for(synthesize: Synthesize) -> None:
    stack = synthesize(existing("pgbouncer", f'endpoints = ["s3"]\n{TABLES}'))
    (line,) = [line for line in stack.told() if "must reach" in line]
    assert "must reach secretsmanager, ecr.api, ecr.dkr, logs over HTTPS" in line


def test_a_new_vpc_asks_for_nothing(synth: Callable[[str], Synthesized]) -> None:
    assert not [line for line in synth("pgbouncer-new-instance").told() if "must reach" in line]


LOOKED_UP = '[deploy.vpc]\nid = "vpc-0123456789abcdef0"\nlookup = true'


@pytest.mark.slow
def test_the_real_cli_looks_a_vpc_up_and_uses_a_private_subnet_of_each_zone(tmp_path: Path) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        aws = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        ec2 = boto3.client("ec2", endpoint_url=url, region_name="eu-west-1", **keys)
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnets = {
            ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}"
            )["Subnet"]["SubnetId"]: zone
            for number, zone in enumerate("abab")
        }
        text = toml(deploy=LOOKED_UP.replace("vpc-0123456789abcdef0", vpc))
        text += 'endpoints = ["secretsmanager"]'
        (tmp_path / "broker.toml").write_text(text)
        app = json.loads((ROOT / "cdk.json").read_text())
        app["app"] = f"{sys.executable} -m infra.app"
        app["context"]["rds_ca"] = str(tmp_path / "ca.pem")
        app["context"]["aws:cdk:bundling-stacks"] = []
        (tmp_path / "cdk.json").write_text(json.dumps(app))
        (tmp_path / "ca.pem").write_text(PEM)
        done = subprocess.run(
            [str(ROOT / "node_modules/.bin/cdk"), "synth", "--quiet"],
            cwd=tmp_path,
            env={**os.environ, **aws, "CDK_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    stack = Synthesized(tmp_path / "cdk.out", None)
    service = stack.one("AWS::ECS::Service")["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert sorted(subnets[each] for each in service["Subnets"]) == ["a", "b"]
    (endpoint,) = stack.properties("AWS::EC2::VPCEndpoint")
    assert endpoint["SubnetIds"] == service["Subnets"]
    assert "10.9.0.0/16" in json.dumps(stack.properties("AWS::EC2::SecurityGroup"))
    assert {group["VpcId"] for group in stack.properties("AWS::EC2::SecurityGroup")} == {vpc}


def test_a_lookup_without_an_account_is_told_in_one_line(
    synthesize: Synthesize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CDK_DEFAULT_ACCOUNT", raising=False)
    with pytest.raises(UsageError, match=r"deploy\.vpc\.lookup = true: AWS must be asked") as told:
        synthesize(toml(deploy=LOOKED_UP))
    assert "\n" not in str(told.value)
