"""What the emulator is taught is as CloudFormation has it, or a deployment would show nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment.emulated import Emulator

pytestmark = pytest.mark.deployment

STACK = "taught"
VPC = {"Ref": "Vpc"}
GROUP = {"Fn::GetAtt": ["Group", "GroupId"]}
RULE = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _subnet(number: int) -> dict[str, Any]:
    zone = {"Fn::Select": [number, {"Fn::GetAZs": ""}]}
    return _resource(
        "EC2::Subnet", VpcId=VPC, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone
    )


SUBNETS = [{"Ref": "Subnet0"}, {"Ref": "Subnet1"}]
TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Vpc": _resource("EC2::VPC", CidrBlock="10.0.0.0/16"),
        "Subnet0": _subnet(0),
        "Subnet1": _subnet(1),
        "Address": _resource("EC2::EIP", Domain="vpc"),
        "Nat": _resource(
            "EC2::NatGateway",
            SubnetId=SUBNETS[0],
            AllocationId={"Fn::GetAtt": ["Address", "AllocationId"]},
        ),
        "Logs": _resource("Logs::LogGroup", LogGroupName="flows"),
        "Flows": _resource(
            "EC2::FlowLog",
            ResourceId=VPC,
            ResourceType="VPC",
            TrafficType="REJECT",
            LogGroupName={"Ref": "Logs"},
        ),
        "Group": _resource("EC2::SecurityGroup", VpcId=VPC, GroupDescription="taught"),
        "In": _resource(
            "EC2::SecurityGroupIngress", GroupId=GROUP, SourceSecurityGroupId=GROUP, **RULE
        ),
        "Out": _resource(
            "EC2::SecurityGroupEgress",
            GroupId=GROUP,
            CidrIp={"Fn::GetAtt": ["Vpc", "CidrBlock"]},
            **RULE,
        ),
        "Database": _resource(
            "RDS::DBInstance",
            Engine="postgres",
            DBInstanceClass="db.t4g.medium",
            AllocatedStorage="20",
            MasterUsername="postgres",
            ManageMasterUserPassword=True,
        ),
        "Role": _resource(
            "IAM::Role", AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": []}
        ),
        "Proxy": _resource(
            "RDS::DBProxy",
            DBProxyName="taught",
            EngineFamily="POSTGRESQL",
            RequireTLS=True,
            RoleArn={"Fn::GetAtt": ["Role", "Arn"]},
            VpcSubnetIds=SUBNETS,
            Auth=[
                {
                    "AuthScheme": "SECRETS",
                    "SecretArn": {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]},
                }
            ],
        ),
        "Targets": _resource(
            "RDS::DBProxyTargetGroup",
            DBProxyName={"Ref": "Proxy"},
            TargetGroupName="default",
            DBInstanceIdentifiers=[{"Ref": "Database"}],
            ConnectionPoolConfigurationInfo={
                "MaxConnectionsPercent": 60,
                "ConnectionBorrowTimeout": 5,
            },
        ),
        "Readers": _resource(
            "RDS::DBProxyEndpoint",
            DBProxyEndpointName="taught-readers",
            DBProxyName={"Ref": "Proxy"},
            TargetRole="READ_ONLY",
            VpcSubnetIds=SUBNETS,
        ),
    }
}


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """Run an emulator of this test's own."""
    with Emulator(database_password="of the server behind") as running:
        yield running


def _ids(aws: Emulator) -> dict[str, str]:
    listed = aws.client("cloudformation").describe_stack_resources(StackName=STACK)
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed["StackResources"]
    }


def _status(aws: Emulator, change: str) -> None:
    """Wait for the stack's end of this change, or fail with the reasons."""
    cloudformation = aws.client("cloudformation")
    waiter = cloudformation.get_waiter(f"stack_{change}_complete")
    try:
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    except Exception as error:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [each.get("ResourceStatusReason") for each in events]
        raise AssertionError(f"{change}: {[each for each in reasons if each]}") from error


def test_each_taught_type_is_made_changed_in_place_and_removed(aws: Emulator) -> None:
    cloudformation, ec2, rds = (aws.client(name) for name in ("cloudformation", "ec2", "rds"))
    capabilities = ["CAPABILITY_IAM"]
    cloudformation.create_stack(
        StackName=STACK, TemplateBody=json.dumps(TEMPLATE), Capabilities=capabilities
    )
    _status(aws, "create")
    before = _ids(aws)
    group = ec2.describe_security_groups(GroupIds=[before["Group"]])["SecurityGroups"][0]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == before["Group"]
    assert {"CidrIp": "10.0.0.0/16"} in [
        each for rule in group["IpPermissionsEgress"] for each in rule["IpRanges"]
    ]
    assert ec2.describe_nat_gateways()["NatGateways"][0]["NatGatewayId"] == before["Nat"]
    assert ec2.describe_flow_logs()["FlowLogs"][0]["TrafficType"] == "REJECT"
    proxy = rds.describe_db_proxies()["DBProxies"][0]
    password = aws.client("secretsmanager").get_secret_value(
        SecretId=proxy["Auth"][0]["SecretArn"]
    )["SecretString"]
    assert json.loads(password) == {"username": "postgres", "password": "of the server behind"}
    targets = rds.describe_db_proxy_targets(DBProxyName="taught")["Targets"]
    assert [each["RdsResourceId"] for each in targets] == [before["Database"]]

    changed = copy.deepcopy(TEMPLATE)
    pool = changed["Resources"]["Targets"]["Properties"]["ConnectionPoolConfigurationInfo"]
    pool["ConnectionBorrowTimeout"] = 7
    changed["Resources"]["Proxy"]["Properties"]["IdleClientTimeout"] = 600
    cloudformation.update_stack(
        StackName=STACK, TemplateBody=json.dumps(changed), Capabilities=capabilities
    )
    _status(aws, "update")
    assert _ids(aws) == before
    pool = rds.describe_db_proxy_target_groups(DBProxyName="taught")["TargetGroups"][0]
    assert pool["ConnectionPoolConfig"]["ConnectionBorrowTimeout"] == 7
    assert rds.describe_db_proxies()["DBProxies"][0]["IdleClientTimeout"] == 600

    cloudformation.delete_stack(StackName=STACK)
    _status(aws, "delete")
    assert rds.describe_db_proxies()["DBProxies"] == []
    assert rds.describe_db_instances()["DBInstances"] == []
    assert ec2.describe_flow_logs()["FlowLogs"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    states = {each["State"] for each in ec2.describe_nat_gateways()["NatGateways"]}
    assert states <= {"deleted"}


def test_a_change_that_aws_makes_by_replacing_is_refused_not_passed_over(aws: Emulator) -> None:
    cloudformation = aws.client("cloudformation")
    capabilities = ["CAPABILITY_IAM"]
    cloudformation.create_stack(
        StackName=STACK, TemplateBody=json.dumps(TEMPLATE), Capabilities=capabilities
    )
    _status(aws, "create")
    changed = copy.deepcopy(TEMPLATE)
    changed["Resources"]["Proxy"]["Properties"]["EngineFamily"] = "MYSQL"
    cloudformation.update_stack(
        StackName=STACK, TemplateBody=json.dumps(changed), Capabilities=capabilities
    )
    with pytest.raises(AssertionError, match="EngineFamily would replace the resource"):
        _status(aws, "update")
