"""Somebody's VPC and databases, made by a stack of theirs, and broker.tomls that name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from broker.local import certificates
from broker.plan import make_plan, read
from broker.plan.deployment import Flavour
from tests.deployment.emulated import Emulator
from tests.deployment.site import OWN_NAME
from tests.deployment.stack import Stack
from tests.deployment.variant import Variant

NAME = "theirs"
TEXT = Path(__file__).with_name("existing.toml").read_text()
CIDR = "10.7.0.0/16"
SERVICES = ("s3", "secretsmanager", "ecr.api", "ecr.dkr", "logs")
INSTANCE, CLUSTER = "theirs-instance", "theirs-cluster"


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _subnet(number: int) -> dict[str, Any]:
    return _resource(
        "EC2::Subnet",
        VpcId={"Ref": "Vpc"},
        CidrBlock=f"10.7.{number}.0/24",
        AvailabilityZone=f"us-east-1{'ab'[number]}",
    )


SERVER = {
    "MasterUsername": "postgres",
    "ManageMasterUserPassword": True,
    "EnableIAMDatabaseAuthentication": True,
    "VPCSecurityGroups": [{"Fn::GetAtt": ["Group", "GroupId"]}],
}
RESOURCES = {
    "Vpc": _resource("EC2::VPC", CidrBlock=CIDR),
    "Subnet0": _subnet(0),
    "Subnet1": _subnet(1),
    "Routes": _resource("EC2::RouteTable", VpcId={"Ref": "Vpc"}),
    "Group": _resource("EC2::SecurityGroup", VpcId={"Ref": "Vpc"}, GroupDescription="Theirs"),
    "Instance": _resource(
        "RDS::DBInstance",
        DBInstanceIdentifier=INSTANCE,
        Engine="postgres",
        DBInstanceClass="db.m7g.large",
        AllocatedStorage="20",
        **SERVER,
    ),
    "Cluster": _resource(
        "RDS::DBCluster", DBClusterIdentifier=CLUSTER, Engine="aurora-postgresql", **SERVER
    ),
}
GIVEN: dict[str, Any] = {
    **{name: {"Ref": name} for name in ("Vpc", "Subnet0", "Subnet1", "Routes")},
    "Group": {"Fn::GetAtt": ["Group", "GroupId"]},
    "InstanceSecret": {"Fn::GetAtt": ["Instance", "MasterUserSecret.SecretArn"]},
    "ClusterSecret": {"Fn::GetAtt": ["Cluster", "MasterUserSecret.SecretArn"]},
}
TEMPLATE = {
    "Resources": RESOURCES,
    "Outputs": {name: {"Value": value} for name, value in GIVEN.items()},
}


class Theirs:
    """What is there before any broker is, and must be there as it was afterwards."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        cloudformation = emulator.client("cloudformation")
        cloudformation.create_stack(StackName=NAME, TemplateBody=json.dumps(TEMPLATE))
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        stack = Stack(emulator, NAME)
        self.ids = {name: stack.output(name) for name in GIVEN}
        self.certificate = self._bring_certificate()

    def _bring_certificate(self) -> str:
        """Keep a certificate of their own for the pooler; the secret's ARN."""
        made = certificates.issue(OWN_NAME)
        value = {"certificate": made.certificate, "key": made.key, "ca": made.ca}
        created = self._emulator.client("secretsmanager").create_secret(
            Name="theirs/pooler", SecretString=json.dumps(value)
        )
        return str(created["ARN"])

    def instance(self) -> dict[str, Any]:
        """Return their instance, as RDS describes it."""
        (found,) = self._emulator.client("rds").describe_db_instances()["DBInstances"]
        return dict(found)

    def cluster(self) -> dict[str, Any]:
        """Return their cluster."""
        (found,) = self._emulator.client("rds").describe_db_clusters()["DBClusters"]
        return dict(found)

    def rules(self) -> list[dict[str, Any]]:
        """Return who is let in at their databases, by port and group."""
        (group,) = self._emulator.client("ec2").describe_security_groups(
            GroupIds=[self.ids["Group"]]
        )["SecurityGroups"]
        return list(group["IpPermissions"])

    def write(self, flavour: Flavour, path: Path) -> Variant:
        """Write the broker.toml that puts this flavour in front of one of them."""
        path.write_text(TEXT.format(flavour=flavour.value, **self.ids, **self._words(flavour)))
        return Variant(path, make_plan(read(path)))

    def _words(self, flavour: Flavour) -> dict[str, str]:
        instance, cluster = self.instance(), self.cluster()
        in_instance = (
            f'kind = "instance"\nidentifier = "{INSTANCE}"\n'
            f'endpoint = "{instance["Endpoint"]["Address"]}"\n'
            f'secret = "{self.ids["InstanceSecret"]}"\nresource_id = "{instance["DbiResourceId"]}"'
        )
        in_cluster = (
            f'kind = "cluster"\nidentifier = "{CLUSTER}"\nendpoint = "{cluster["Endpoint"]}"\n'
            f'reader_endpoint = "{cluster["ReaderEndpoint"]}"\n'
            f'secret = "{self.ids["ClusterSecret"]}"\n'
            f'resource_id = "{cluster["DbClusterResourceId"]}"'
        )
        own = f'certificate_secret = "{self.certificate}"\ncertificate_host = "{OWN_NAME}"'
        tables = json.dumps([self.ids["Routes"]] * 2)
        endpoints = f'endpoints = {json.dumps(SERVICES)}\nroute_tables = {tables}\ncidr = "{CIDR}"'
        rds = 'engine = "rds-postgresql"\nmax_connections = 400\nvcpus = 2\nmemory = "8 GiB"'
        aurora = 'engine = "aurora-postgresql"\ninstance = "serverless"\nmax_acu = 8\nmin_acu = 1'
        with_iam = 'auth = "iam"'
        words = {
            Flavour.PGBOUNCER: ("pooled", rds, "active_sessions = 40", own, endpoints, in_instance),
            Flavour.RDS_PROXY: (
                "proxied",
                aurora,
                "proxy_minimum_percent = 10",
                with_iam,
                "",
                in_cluster,
            ),
            Flavour.DIRECT: ("capped", rds, "cap = 90", with_iam, "", in_instance),
        }
        keys = ("name", "database", "numbers", "deploy", "vpc", "server")
        return dict(zip(keys, words[flavour], strict=True))
