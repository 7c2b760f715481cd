"""`ConnectionBroker.connect`: what a function gets, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker import UsageError
from broker.plan import DoesNotFit, parse
from broker.plan.deployment import Flavour

from .conftest import BROKER, FLAVOURS, own_toml

CODE = "def handler(event, context): pass"
Made = tuple[dict[str, Any], Any]


@pytest.fixture(scope="module")
def app_of(flags: dict[str, Any]) -> Callable[..., Any]:
    """Make a user's own stack, with a VPC, a database and a broker in front of it."""
    from aws_cdk import App, Stack
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_rds as rds

    from infra import Auth, ConnectionBroker, Options

    def make(
        flavour: str,
        *,
        cluster: bool = False,
        readers: int = 1,
        auth: str = "secret",
        **options: Any,
    ) -> Any:
        app = App(context={**flags, "aws:cdk:bundling-stacks": []})
        stack: Any = Stack(app, "Orders")
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2, restrict_default_security_group=False)
        version = rds.AuroraPostgresEngineVersion.VER_17_9
        engine: Any = rds.DatabaseClusterEngine.aurora_postgres(version=version)
        if cluster:
            member = rds.ClusterInstance.serverless_v2
            database: Any = rds.DatabaseCluster(
                stack,
                "Db",
                engine=engine,
                writer=member("Writer"),
                readers=[member(f"Reader{number}") for number in range(readers)],
                vpc=vpc,
                port=5433,
            )
        else:
            engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
            database = rds.DatabaseInstance(stack, "Db", engine=engine, vpc=vpc, port=5433)
        text = own_toml(flavour, kind="cluster" if cluster else "instance", broker=BROKER[flavour])
        stack.broker = ConnectionBroker(
            stack,
            "Broker",
            database=database,
            vpc=vpc,
            deployment=parse(text),
            options=Options(auth=Auth(auth), **options),
        )
        stack.app = app
        return stack

    return make


def function(stack: Any, id: str = "orders", **given: Any) -> Any:
    """Make a function, as a user would."""
    from aws_cdk import aws_lambda as lambda_

    return lambda_.Function(
        stack,
        id,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline(CODE),
        **given,
    )


def template_of(stack: Any) -> dict[str, Any]:
    """Synthesize, and return the template."""
    assembly = stack.app.synth()
    return dict(json.loads((Path(assembly.directory) / "Orders.template.json").read_text()))


def connected(template: dict[str, Any], id: str = "orders") -> dict[str, Any]:
    """Return the properties of the function."""
    (found,) = (
        resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function" and name.startswith(id)
    )
    return dict(found)


def allowed(template: dict[str, Any], id: str = "orders") -> dict[str, Any]:
    """Return what the function's own policy allows: actions to resources."""
    (policy,) = (
        resource["Properties"]["PolicyDocument"]["Statement"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy" and name.startswith(id)
    )
    found: dict[str, Any] = {}
    for statement in policy:
        actions = statement["Action"]
        for action in actions if isinstance(actions, list) else [actions]:
            found[action] = statement["Resource"]
    return found


def logical(template: dict[str, Any], kind: str, part: str = "") -> list[str]:
    return [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind and part in name
    ]


READ = {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"}
LEASE = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"}


def test_behind_pgbouncer_a_function_reads_its_own_secret_and_no_other(
    app_of: Callable[..., Any],
) -> None:
    stack = app_of("pgbouncer")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    may = allowed(template)
    (secret,) = logical(template, "AWS::SecretsManager::Secret", "Client")
    assert set(may) == READ
    assert all(resource == {"Ref": secret} for resource in may.values())
    variables = connected(template)["Environment"]["Variables"]
    assert variables["BROKER_SECRET_ARN"] == {"Ref": secret}
    assert variables["BROKER_USER"] == "app_client"
    assert variables["BROKER_FLAVOUR"] == "pgbouncer"
    assert variables["BROKER_PORT"] == "5432"
    assert "DNSName" in json.dumps(variables["BROKER_HOST"])
    assert "CaPem" in json.dumps(variables["BROKER_TLS_CA"])
    assert variables["BROKER_DATABASE"] == "appdb"


def test_behind_rds_proxy_with_secrets_a_function_reads_the_role_s(
    app_of: Callable[..., Any],
) -> None:
    stack = app_of("rds-proxy")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    (secret,) = logical(template, "AWS::SecretsManager::Secret", "Server")
    assert allowed(template) == {action: {"Ref": secret} for action in READ}
    variables = connected(template)["Environment"]["Variables"]
    assert variables["BROKER_USER"] == "app"
    assert variables["BROKER_SECRET_ARN"] == {"Ref": secret}
    assert "BROKER_TLS_CA" not in variables  # Amazon's roots are in the system's store
    assert "Endpoint" in json.dumps(variables["BROKER_HOST"])


@pytest.mark.parametrize("flavour", ["rds-proxy", "direct"])
def test_with_iam_a_function_may_log_in_as_one_user(
    app_of: Callable[..., Any], flavour: str
) -> None:
    stack = app_of(flavour, auth="iam")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    assert not logical(template, "AWS::SecretsManager::Secret", "Server")
    may = allowed(template)
    assert set(may) - LEASE == {"rds-db:connect"}
    arn = json.dumps(may["rds-db:connect"])
    assert '"/app"]' in arn.replace(" ", "") or '/app"' in arn
    assert "*" not in arn
    variables = connected(template)["Environment"]["Variables"]
    assert variables["BROKER_AUTH"] == "iam"
    assert "BROKER_SECRET_ARN" not in variables


def test_direct_a_function_has_the_cap_and_may_use_its_leases(app_of: Callable[..., Any]) -> None:
    stack = app_of("direct")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    (table,) = logical(template, "AWS::DynamoDB::Table")
    may = allowed(template)
    assert set(may) == LEASE | READ
    assert all(may[action] == {"Fn::GetAtt": [table, "Arn"]} for action in LEASE)
    variables = connected(template)["Environment"]["Variables"]
    assert variables["BROKER_CAP"] == "100"
    assert variables["BROKER_CAP_TABLE"] == {"Ref": table}
    assert variables["BROKER_TLS_CA"] == "/opt/broker/rds-ca.pem"
    assert variables["BROKER_PORT"] == "5433"
    wanted = str(stack.broker.plan.whole("cap_lease"))
    assert variables["BROKER_CAP_LEASE_S"] == wanted


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_secret_s_value_is_in_the_environment(app_of: Callable[..., Any], flavour: str) -> None:
    stack = app_of(flavour)
    stack.broker.connect(function(stack))
    assert "resolve:secretsmanager" not in json.dumps(connected(template_of(stack)))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_function_in_no_vpc_is_put_into_the_broker_s(
    app_of: Callable[..., Any], flavour: str
) -> None:
    stack = app_of(flavour)
    stack.broker.connect(function(stack))
    template = template_of(stack)
    (group,) = logical(template, "AWS::EC2::SecurityGroup", "BrokerClients")
    config = connected(template)["VpcConfig"]
    assert config["SecurityGroupIds"] == [{"Fn::GetAtt": [group, "GroupId"]}]
    assert len(config["SubnetIds"]) == 2
    rules = [
        template["Resources"][name]["Properties"]
        for name in logical(template, "AWS::EC2::SecurityGroupIngress")
    ]
    mine = [
        rule
        for rule in rules
        if rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [group, "GroupId"]}
    ]
    port = 5433 if flavour == "direct" else 5432
    assert [(rule["FromPort"], rule["ToPort"]) for rule in mine] == [(port, port)]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_function_that_is_in_the_vpc_is_let_in_by_its_own_group(
    app_of: Callable[..., Any], flavour: str
) -> None:
    stack = app_of(flavour)
    from aws_cdk import aws_ec2 as ec2

    vpc = stack.node.find_child("Vpc")
    assert isinstance(vpc, ec2.Vpc)
    fn = function(stack, vpc=vpc)
    stack.broker.connect(fn)
    template = template_of(stack)  # the CDK's own checks would find a circle
    (own,) = logical(template, "AWS::EC2::SecurityGroup", "orders")
    rules = json.dumps(
        [
            template["Resources"][name]["Properties"]
            for name in logical(template, "AWS::EC2::SecurityGroupIngress")
        ]
    )
    assert own in rules
    assert connected(template)["VpcConfig"]["SecurityGroupIds"] == [
        {"Fn::GetAtt": [own, "GroupId"]}
    ]


def test_a_function_has_the_layer_and_the_plan_s_concurrency_and_timeout(
    app_of: Callable[..., Any],
) -> None:
    stack = app_of("pgbouncer")
    stack.broker.connect(function(stack))
    stack.broker.connect(function(stack, "Other"), name="reports")
    template = template_of(stack)
    (layer,) = logical(template, "AWS::Lambda::LayerVersion")
    orders, reports = connected(template), connected(template, "Other")
    assert orders["Layers"] == [{"Ref": layer}]
    plan = stack.broker.plan
    assert orders["ReservedConcurrentExecutions"] == plan.whole("reserved_concurrency.orders") == 50
    assert reports["ReservedConcurrentExecutions"] == 20
    assert (orders["Timeout"], reports["Timeout"]) == (30, 60)
    variables = orders["Environment"]["Variables"]
    assert variables["BROKER_IDLE_TIMEOUT_S"] == str(plan.whole("client_idle"))


def test_every_variable_is_one_that_the_library_knows(app_of: Callable[..., Any]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for flavour in FLAVOURS:
        stack = app_of(flavour)
        stack.broker.connect(function(stack))
        for name in connected(template_of(stack))["Environment"]["Variables"]:
            assert f"`{name}`" in readme


def test_a_queue_s_messages_come_as_many_at_once_as_the_plan_allows(
    app_of: Callable[..., Any],
) -> None:
    from aws_cdk import Duration
    from aws_cdk import aws_sqs as sqs

    stack = app_of("pgbouncer")
    queue = sqs.Queue(stack, "Queue", visibility_timeout=Duration.minutes(3))
    stack.broker.connect(function(stack), queue=queue)
    template = template_of(stack)
    (name,) = logical(template, "AWS::Lambda::EventSourceMapping")
    mapping = template["Resources"][name]["Properties"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 50}
    assert connected(template)["ReservedConcurrentExecutions"] == 50


@pytest.mark.parametrize("flavour", ["rds-proxy", "direct"])
def test_a_reader_has_the_read_only_endpoint(app_of: Callable[..., Any], flavour: str) -> None:
    stack = app_of(flavour, cluster=True)
    stack.broker.connect(function(stack))
    stack.broker.connect(function(stack, "reports"), read_only=True)
    template = template_of(stack)
    writes = connected(template)["Environment"]["Variables"]["BROKER_HOST"]
    reads = connected(template, "reports")["Environment"]["Variables"]["BROKER_HOST"]
    assert reads != writes
    told = json.dumps(reads)
    assert "ReadEndpoint" in told or "ProxyReader" in told


@pytest.mark.parametrize("flavour", ["rds-proxy", "direct"])
def test_a_cluster_without_readers_has_no_read_only_endpoint(
    app_of: Callable[..., Any], flavour: str
) -> None:
    stack = app_of(flavour, cluster=True, readers=0)
    with pytest.raises(UsageError, match="no read-only endpoint"):
        stack.broker.connect(function(stack), read_only=True)
    assert not logical(template_of(stack), "AWS::RDS::DBProxyEndpoint")


def test_a_powertools_layer_of_one_s_own_comes_with_the_library(
    app_of: Callable[..., Any],
) -> None:
    arn = "arn:aws:lambda:eu-west-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-arm64:7"
    stack = app_of("pgbouncer", powertools=arn)
    stack.broker.connect(function(stack))
    stack.broker.connect(function(stack, "reports"))
    template = template_of(stack)
    (layer,) = logical(template, "AWS::Lambda::LayerVersion")
    for id in ("orders", "reports"):
        assert connected(template, id)["Layers"] == [{"Ref": layer}, arn]


def test_functions_trust_the_authority_that_the_brought_certificate_names(
    app_of: Callable[..., Any],
) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pooler-AbCdEf"
    stack = app_of("pgbouncer", certificate_secret=arn, certificate_host="pooler.example.internal")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    variables = connected(template)["Environment"]["Variables"]
    assert variables["BROKER_HOST"] == "pooler.example.internal"
    # The certificate of an authority, which is public; the key in the same secret is not named.
    assert variables["BROKER_TLS_CA"] == f"{{{{resolve:secretsmanager:{arn}:SecretString:ca::}}}}"
    assert arn not in json.dumps(allowed(template))


def test_a_function_waits_for_its_roles(app_of: Callable[..., Any]) -> None:
    stack = app_of("pgbouncer")
    stack.broker.connect(function(stack))
    template = template_of(stack)
    (roles,) = logical(template, "Custom::BrokerRoles")
    (name,) = logical(template, "AWS::Lambda::Function", "orders")
    assert roles in template["Resources"][name]["DependsOn"]


@pytest.fixture(scope="module")
def stack(app_of: Callable[..., Any]) -> Any:
    """Return a stack for what is refused before anything is made."""
    return app_of("pgbouncer")


def test_a_function_that_the_plan_does_not_name_is_told_what_to_add(stack: Any) -> None:
    with pytest.raises(UsageError) as refused:
        stack.broker.connect(function(stack, "ordres"))
    told = str(refused.value)
    assert "has no function ordres (did you mean orders?)" in told
    assert 'add [[functions]] name = "ordres", concurrency = 10' in told
    assert "\n" not in told


def test_a_concurrency_of_one_s_own_is_refused(stack: Any) -> None:
    fn = function(stack, "Mine", reserved_concurrent_executions=5)
    with pytest.raises(UsageError, match="=5, but the plan counts on 50"):
        stack.broker.connect(fn, name="orders")


def test_a_timeout_that_the_plan_does_not_count_on_is_refused(stack: Any) -> None:
    from aws_cdk import Duration

    fn = function(stack, "Slow", timeout=Duration.seconds(90))
    with pytest.raises(UsageError, match="timeout=90 s, but the plan counts on 30 s"):
        stack.broker.connect(fn, name="orders")


def test_a_read_only_endpoint_that_is_not_there_is_refused(stack: Any) -> None:
    with pytest.raises(UsageError, match="no read-only endpoint"):
        stack.broker.connect(function(stack, "Reads"), name="orders", read_only=True)


def broker_of(stack: Any, id: str, database: Any) -> None:
    from infra import ConnectionBroker

    vpc = stack.node.find_child("Vpc")
    ConnectionBroker(stack, id, database=database, vpc=vpc, deployment=parse(own_toml()))


def test_an_imported_database_of_the_cdk_s_is_told_how_to_name_it(stack: Any) -> None:
    from aws_cdk import aws_rds as rds

    instance = rds.DatabaseInstance.from_database_instance_attributes(
        stack,
        "Imported",
        instance_identifier="orders",
        instance_endpoint_address="orders.abc.eu-west-1.rds.amazonaws.com",
        port=5432,
        security_groups=[],
    )
    cluster = rds.DatabaseCluster.from_database_cluster_attributes(
        stack, "ImportedCluster", cluster_identifier="orders"
    )
    for number, database in enumerate((instance, cluster)):
        with pytest.raises(UsageError, match=r"use import_database\(") as refused:
            broker_of(stack, f"Of{number}", database)
        assert "\n" not in str(refused.value)
        assert "Imported" in str(refused.value)


def test_an_engine_that_is_not_postgresql_is_refused(stack: Any) -> None:
    from aws_cdk import aws_rds as rds

    mysql = rds.DatabaseInstance(
        stack,
        "MySql",
        engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0),
        vpc=stack.node.find_child("Vpc"),
    )
    with pytest.raises(UsageError, match=r"Orders/MySql is mysql: .* PostgreSQL") as refused:
        broker_of(stack, "OfMySql", mysql)
    assert "\n" not in str(refused.value)


def test_a_port_that_is_not_known_at_synth_is_refused(stack: Any) -> None:
    from aws_cdk import CfnParameter
    from aws_cdk import aws_rds as rds

    port = CfnParameter(stack, "Port", type="Number").value_as_number
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
    vpc = stack.node.find_child("Vpc")
    database = rds.DatabaseInstance(stack, "AnyPort", engine=engine, vpc=vpc, port=port)
    with pytest.raises(UsageError, match="port must be a number that is known at synth"):
        broker_of(stack, "OfAnyPort", database)


def test_a_database_from_a_snapshot_is_a_database(app_of: Callable[..., Any]) -> None:
    from aws_cdk import aws_rds as rds

    stack = app_of("direct", auth="iam")
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
    restored = rds.DatabaseInstanceFromSnapshot(
        stack,
        "Restored",
        snapshot_identifier="orders",
        engine=engine,
        credentials=rds.SnapshotCredentials.from_generated_secret("postgres"),
        vpc=stack.node.find_child("Vpc"),
    )
    broker_of(stack, "OfRestored", restored)
    made = template_of(stack)
    hosts = [
        made["Resources"][name]["Properties"]["Host"]
        for name in logical(made, "Custom::BrokerRoles")
    ]
    (name,) = logical(made, "AWS::RDS::DBInstance", "Restored")
    assert {"Fn::GetAtt": [name, "Endpoint.Address"]} in hosts


def test_a_deployment_that_does_not_fit_is_refused_with_the_plan_s_words(stack: Any) -> None:
    from infra import ConnectionBroker

    text = own_toml("direct").replace("concurrency = 50", "concurrency = 500")
    with pytest.raises(DoesNotFit, match="1,050 sessions at the worst moment"):
        ConnectionBroker(
            stack,
            "Second",
            database=stack.node.find_child("Db"),
            vpc=stack.node.find_child("Vpc"),
            deployment=parse(text),
        )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"auth": "iam"}, "PgBouncer knows no IAM"),
        ({"certificate_secret": "arn"}, "need each other"),
        ({"certificate_host": "pooler.example.internal"}, "need each other"),
    ],
)
def test_options_that_contradict_are_refused(given: dict[str, Any], told: str) -> None:
    from infra import Auth, Options

    if "auth" in given:
        given = {"auth": Auth(given["auth"])}
    with pytest.raises(UsageError, match=told):
        Options(**given).check(Flavour.PGBOUNCER)
