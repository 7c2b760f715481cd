"""Each flavour in front of a database that is there, in a VPC that is there, deployed for real.

The VPC, an instance and a cluster are somebody else's stack. PgBouncer is put before the instance,
under a certificate that was brought; RDS Proxy before the cluster and leases before the instance,
where functions log in with IAM: the tokens that they sign are verified, and their roles' policies
asked, before PostgreSQL lets them in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.plan.deployment import Flavour
from tests.conftest import need_postgres_tls
from tests.deployment import expected
from tests.deployment.deployed_task import DeployedTask
from tests.deployment.emulated import ACCOUNT, REGION
from tests.deployment.existing import CIDR, NAME, SERVICES, Theirs
from tests.deployment.site import OWN_NAME, Site, site
from tests.deployment.stack import Stack
from tests.deployment.variant import Variant

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
]

IAM = (Flavour.RDS_PROXY, Flavour.DIRECT)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Site]:
    """Run an emulated account."""
    need_postgres_tls()
    with site(Flavour.PGBOUNCER, tmp_path) as running:
        yield running


def test_every_flavour_is_put_before_what_is_there_and_leaves_it_as_it_was(
    there: Site, tmp_path: Path
) -> None:
    theirs = Theirs(there.emulator)
    before = (theirs.instance(), theirs.cluster(), theirs.rules())
    resources = Stack(there.emulator, NAME).resources()
    written = {each: theirs.write(each, tmp_path / f"{each.value}.toml") for each in Flavour}
    there.deploy(*written.values()).ok()
    for flavour, deployed in written.items():
        here = replace(there, flavour=flavour)
        is_as_the_plan_says(here, deployed)
        a_function_answers(here, deployed)
    assert (theirs.instance(), theirs.cluster()) == before[:2]
    the_broker_is_let_in(there, theirs)
    the_endpoints_are_made(there, theirs)
    the_name_leads_to_the_pooler(there, theirs)
    both_hops_of_the_proxy_are_iam_as_one_user(replace(there, flavour=Flavour.RDS_PROXY), theirs)
    there.destroy().ok()
    assert (theirs.instance(), theirs.cluster(), theirs.rules()) == before
    assert Stack(there.emulator, NAME).resources() == resources
    for flavour, deployed in written.items():
        the_data_is_left(replace(there, flavour=flavour), deployed)


def is_as_the_plan_says(here: Site, deployed: Variant) -> None:
    """Compare the plan with what was made, and see that nothing was that is there already."""
    assert here.stack.status == "CREATE_COMPLETE"
    groups = {"rds_iam"} if here.flavour in IAM else set()
    expected.roles(here, deployed.plan, groups=groups)
    expected.functions(here, deployed.plan)
    expected.between(here, deployed.plan)
    kinds = {kind for kind, _ in here.stack.resources().values()}
    assert not kinds & {"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::RDS::DBInstance"}
    assert not kinds & {"AWS::RDS::DBCluster", "AWS::RDS::DBParameterGroup"}


def a_function_answers(here: Site, deployed: Variant) -> None:
    """Invoke the function: it writes and reads as the role that the provisioner made."""
    (pair,) = deployed.plan.deployment.middle.pairs
    with pooler(here, deployed):
        answer = here.stack.invoke("orders", {"keep": "from orders"})
    assert (answer["role"], answer["database"]) == (pair.user, pair.database)
    assert answer["encrypted"]
    assert kept(here, deployed) == ["from orders"]
    variables = configured(here)["Environment"]["Variables"]
    assert ("BROKER_AUTH" in variables) == (here.flavour in IAM)
    assert ("BROKER_SECRET_ARN" in variables) == (here.flavour not in IAM)


def pooler(here: Site, deployed: Variant) -> AbstractContextManager[object]:
    """Run the deployed task, where there is one."""
    if here.flavour is Flavour.PGBOUNCER:
        return DeployedTask(here, deployed.plan)
    return nullcontext()


def configured(here: Site) -> dict[str, Any]:
    """Return the function's configuration."""
    found: dict[str, Any] = here.emulator.client("lambda").get_function_configuration(
        FunctionName=here.stack.output("ordersFunction")
    )
    return found


def kept(here: Site, deployed: Variant) -> list[str]:
    """Return what the function has written, as the server has it."""
    (pair,) = deployed.plan.deployment.middle.pairs
    rows = here.postgres.admin("select what from kept", database=pair.database)
    return [str(row[0]) for row in rows]


def the_broker_is_let_in(there: Site, theirs: Theirs) -> None:
    """Find at the databases' group the provisioners, what stands in front, direct's functions."""
    admitted = {
        pair["GroupId"]
        for rule in theirs.rules()
        for pair in rule["UserIdGroupPairs"]
        if (rule["FromPort"], rule["ToPort"]) == (5432, 5432)
    }
    described = there.emulator.client("ec2").describe_security_groups(GroupIds=list(admitted))
    assert sorted(each["Description"] for each in described["SecurityGroups"]) == [
        "Functions that use the broker",
        "RDS Proxy: its rules say who may connect",
        "The poolers",
        "The provisioner",
        "The provisioner",
        "The provisioner",
    ]
    assert {each["VpcId"] for each in described["SecurityGroups"]} == {theirs.ids["Vpc"]}


def the_endpoints_are_made(there: Site, theirs: Theirs) -> None:
    """Find those that broker.toml asks for, in the VPC's subnets and on its routes."""
    ec2 = there.emulator.client("ec2")
    found = {
        each["ServiceName"].partition(f"{REGION}.")[2]: each
        for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]
        if each["VpcId"] == theirs.ids["Vpc"]
    }
    assert sorted(found) == sorted(SERVICES)
    assert set(found.pop("s3")["RouteTableIds"]) == {theirs.ids["Routes"]}
    for each in found.values():
        assert set(each["SubnetIds"]) == {theirs.ids["Subnet0"], theirs.ids["Subnet1"]}
    (group,) = (  # whose id the emulator does not tell with the endpoint
        each
        for each in ec2.describe_security_groups()["SecurityGroups"]
        if each["Description"].startswith("AWS services") and each["VpcId"] == theirs.ids["Vpc"]
    )
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], [each["CidrIp"] for each in rule["IpRanges"]]) == (443, [CIDR])


def the_name_leads_to_the_pooler(there: Site, theirs: Theirs) -> None:
    """Find the brought certificate's name in a private zone of the VPC, at the load balancer."""
    route53 = there.emulator.client("route53")
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    assert (zone["Name"], zone["Config"]["PrivateZone"]) == (f"{OWN_NAME}.", True)
    vpcs = route53.get_hosted_zone(Id=zone["Id"])["VPCs"]
    assert [each["VPCId"] for each in vpcs] == [theirs.ids["Vpc"]]
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    (alias,) = [each["AliasTarget"] for each in records if each["Type"] == "A"]
    (balancer,) = there.emulator.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert alias["DNSName"] == f"dualstack.{balancer['DNSName']}."
    assert there.stack.output("Host") == OWN_NAME


def both_hops_of_the_proxy_are_iam_as_one_user(here: Site, theirs: Theirs) -> None:
    """Ask IAM for whom the proxy may log in at the cluster, and the function at the proxy."""
    rds, name = here.emulator.client("rds"), here.stack.the("RDS::DBProxy")
    (proxy,) = rds.describe_db_proxies(DBProxyName=name)["DBProxies"]
    assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
    cluster, own = theirs.cluster()["DbClusterResourceId"], proxy["DBProxyArn"].rpartition(":")[2]
    function = configured(here)["Role"]
    assert may_connect(here, proxy["RoleArn"], f"{cluster}/proxied_app")
    assert may_connect(here, function, f"{own}/proxied_app")
    assert not may_connect(here, proxy["RoleArn"], f"{cluster}/postgres")
    assert not may_connect(here, function, f"{own}/postgres")
    assert not may_connect(here, function, f"{cluster}/proxied_app")


def may_connect(here: Site, role_arn: str, who: str) -> bool:
    """Whether the role's policies allow rds-db:connect on "resource id/user"."""
    (result,) = here.emulator.client("iam").simulate_principal_policy(
        PolicySourceArn=role_arn,
        ActionNames=["rds-db:connect"],
        ResourceArns=[f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{who}"],
    )["EvaluationResults"]
    return bool(result["EvalDecision"] == "allowed")


def the_data_is_left(here: Site, deployed: Variant) -> None:
    """Find what the function wrote, and its role, which owns it, locked."""
    (pair,) = deployed.plan.deployment.middle.pairs
    assert kept(here, deployed) == ["from orders"]
    assert not here.role(pair.user)["logs_in"]
