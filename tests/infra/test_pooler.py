"""PgBouncer on Fargate, as the template has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from broker.pgbouncer import Hosting, render_ini
from broker.plan import BadDeployment, Plan
from infra.pooler import PLACEHOLDER
from infra.sizing import sizing

from .conftest import CASES as EVERY
from .conftest import TWO_PAIRS, TWO_USERS, Synthesized, toml

Synth = Callable[[str], Synthesized]
Planned = Callable[[str], Plan]
CASES = [case for case in EVERY if case.startswith("pgbouncer")]
every = pytest.mark.parametrize("case", CASES)


def container(stack: Synthesized, name: str = "pgbouncer") -> dict[str, Any]:
    all_of_them = stack.one("AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    (found,) = [each for each in all_of_them if each["Name"] == name]
    assert {each["Name"] for each in all_of_them} == {"pgbouncer", "exporter"}
    return dict(found)


@every
def test_the_task_is_the_plan_s_size_on_arm(synth: Synth, case: str) -> None:
    task = synth(case).one("AWS::ECS::TaskDefinition")
    assert (task["Cpu"], task["Memory"]) == ("512", "1024")
    assert task["RuntimePlatform"] == {
        "CpuArchitecture": "ARM64",
        "OperatingSystemFamily": "LINUX",
    }
    assert task["RequiresCompatibilities"] == ["FARGATE"]


@every
def test_the_container_can_write_to_its_volumes_alone_and_is_nobody(
    synth: Synth, case: str
) -> None:
    made = container(synth(case))
    assert made["ReadonlyRootFilesystem"] is True
    assert made["User"] == "10001:10001"
    assert made["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert made["MountPoints"] == [
        {"ContainerPath": "/run/pgbouncer", "ReadOnly": False, "SourceVolume": "run"},
        {"ContainerPath": "/run/pgbouncer-sockets", "ReadOnly": False, "SourceVolume": "sockets"},
    ]
    assert not made.get("Privileged")
    volumes = synth(case).one("AWS::ECS::TaskDefinition")["Volumes"]
    assert volumes == [{"Name": "run"}, {"Name": "sockets"}]


@every
def test_the_exporter_sees_the_sockets_and_no_secret_and_can_write_nowhere(
    synth: Synth, case: str
) -> None:
    made, pgbouncer = container(synth(case), "exporter"), container(synth(case))
    assert made["Image"] == pgbouncer["Image"]
    assert made["EntryPoint"] == ["/usr/local/bin/pgbouncer-exporter"]
    assert made["User"] == pgbouncer["User"], "the console lets its own account in, and no other"
    assert made["ReadonlyRootFilesystem"] is True
    assert made["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert not made.get("Privileged")
    assert "Secrets" not in made
    assert made["MountPoints"] == [
        {"ContainerPath": "/run/pgbouncer-sockets", "ReadOnly": True, "SourceVolume": "sockets"}
    ]
    assert made["Environment"] == [
        {"Name": "EXPORTER_POOLER", "Value": synth(case).stack.stack_name + "/Broker"}
    ]


@every
def test_an_exporter_that_fails_ends_by_itself_alone(synth: Synth, case: str) -> None:
    task = synth(case).one("AWS::ECS::TaskDefinition")
    made, pgbouncer = container(synth(case), "exporter"), container(synth(case))
    assert (made["Essential"], pgbouncer["Essential"]) == (False, True)
    assert made["RestartPolicy"] == {"Enabled": True, "RestartAttemptPeriod": 60}
    assert made["Memory"] == 64
    assert "Memory" not in pgbouncer, "what the exporter does not take is the poolers'"
    assert made["Cpu"] + pgbouncer["Cpu"] == int(task["Cpu"])
    assert made["Cpu"] == 16
    assert not made.get("DependsOn"), "ECS would wait for it before it stops a pooler"
    assert not pgbouncer.get("DependsOn")
    assert "PortMappings" not in made


@every
def test_the_exporter_s_lines_have_a_log_group_of_their_own(synth: Synth, case: str) -> None:
    stack = synth(case)
    groups = {
        name: container(stack, name)["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
        for name in ("exporter", "pgbouncer")
    }
    assert groups["exporter"] != groups["pgbouncer"]
    assert set(groups.values()) <= set(stack.all("AWS::Logs::LogGroup"))
    (policy,) = [
        each
        for each in stack.properties("AWS::IAM::Policy")
        if "PoolerTaskExecution" in each["PolicyName"]
    ]
    for name in groups.values():
        assert name in json.dumps(policy)


@every
def test_the_container_has_the_plan_s_files_and_time_to_drain(synth: Synth, case: str) -> None:
    stack = synth(case)
    made = container(stack)
    files = stack.stack.broker.plan.whole("nofile")
    assert made["Ulimits"] == [{"Name": "nofile", "SoftLimit": files, "HardLimit": files}]
    assert made["StopTimeout"] == 120
    assert made["HealthCheck"]["Command"] == ["CMD", "/usr/local/bin/pgbouncer-health"]
    assert made["PortMappings"] == [{"ContainerPort": 6432, "Protocol": "tcp"}]


@every
def test_the_plan_s_ini_arrives_byte_for_byte_but_for_the_host(synth: Synth, case: str) -> None:
    stack = synth(case)
    (variable,) = container(stack)["Environment"]
    assert variable["Name"] == "PGBOUNCER_INI_1"
    value = variable["Value"]
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    text = "".join(part if isinstance(part, str) else PLACEHOLDER for part in parts)
    port = 5433 if "existing" in case else 5432
    wanted = render_ini(stack.stack.broker.plan, Hosting(host=PLACEHOLDER, port=port))
    assert text.replace("orders.abc.eu-west-1.rds.amazonaws.com", PLACEHOLDER) == wanted
    assert "server_tls_sslmode = verify-full" in text


@every
def test_secrets_come_by_reference_and_each_hop_has_its_own(synth: Synth, case: str) -> None:
    stack = synth(case)
    found = {each["Name"]: each["ValueFrom"] for each in container(stack)["Secrets"]}
    assert set(found) == {
        "PGBOUNCER_SERVER_SECRET_1",
        "PGBOUNCER_CLIENT_SECRET_1",
        "PGBOUNCER_CERTIFICATE",
    }
    assert len({json.dumps(arn) for arn in found.values()}) == 3
    users = [
        json.loads(each["GenerateSecretString"].get("SecretStringTemplate", "{}"))
        for each in stack.properties("AWS::SecretsManager::Secret")
    ]
    assert {"username": "app"} in users
    assert {"username": "app_client"} in users


@every
def test_tasks_never_see_the_authority_s_key(synth: Synth, case: str) -> None:
    stack = synth(case)
    (authority,) = [n for n in stack.all("AWS::SecretsManager::Secret") if "Authority" in n]
    readers = [
        name
        for name, policy in stack.all("AWS::IAM::Policy").items()
        if authority in json.dumps(policy)
    ]
    assert [name for name in readers if not name.startswith("BrokerProvisioner")] == []
    assert readers


@every
def test_a_rollout_keeps_every_task_and_gives_up_by_itself(synth: Synth, case: str) -> None:
    service = synth(case).one("AWS::ECS::Service")
    settings = service["DeploymentConfiguration"]
    assert settings["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (settings["MinimumHealthyPercent"], settings["MaximumPercent"]) == (100, 200)
    assert service["DesiredCount"] == 2
    assert service["EnableExecuteCommand"] is False
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    assert len(service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 2


@every
def test_the_tasks_wait_for_roles_certificate_and_listener(synth: Synth, case: str) -> None:
    stack = synth(case)
    (service,) = stack.all("AWS::ECS::Service").values()
    for kind in (
        "Custom::BrokerRoles",
        "Custom::BrokerCertificate",
        "AWS::ElasticLoadBalancingV2::Listener",
    ):
        assert set(stack.all(kind)) <= set(service["DependsOn"]), kind


@every
def test_the_load_balancer_is_internal_and_crosses_zones(synth: Synth, case: str) -> None:
    balancer = synth(case).one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert (balancer["Scheme"], balancer["Type"]) == ("internal", "network")
    attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
    assert attributes["load_balancing.cross_zone.enabled"] == "true"
    assert len(balancer["SecurityGroups"]) == 1


@every
def test_flows_idle_longer_than_pgbouncer_lets_them(synth: Synth, case: str) -> None:
    stack = synth(case)
    listener = stack.one("AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (5432, "TCP")
    attributes = {each["Key"]: each["Value"] for each in listener["ListenerAttributes"]}
    idle = int(attributes["tcp.idle_timeout.seconds"])
    assert idle == 350
    assert idle > stack.stack.broker.plan.whole("client_idle_timeout")


@every
def test_a_task_is_deregistered_and_its_flows_are_let_finish(synth: Synth, case: str) -> None:
    target = synth(case).one("AWS::ElasticLoadBalancingV2::TargetGroup")
    attributes = {each["Key"]: each["Value"] for each in target["TargetGroupAttributes"]}
    assert attributes["deregistration_delay.timeout_seconds"] == "30"
    assert attributes["deregistration_delay.connection_termination.enabled"] == "false"
    assert attributes["preserve_client_ip.enabled"] == "false"
    assert attributes["load_balancing.cross_zone.enabled"] == "true"
    assert (target["Port"], target["Protocol"], target["TargetType"]) == (6432, "TCP", "ip")
    assert target["HealthCheckProtocol"] == "TCP"


@every
def test_each_hop_lets_in_the_one_before_it_alone(synth: Synth, case: str) -> None:
    stack = synth(case)
    rules = stack.properties("AWS::EC2::SecurityGroupIngress")
    by_port: dict[int, list[str]] = {}
    for rule in rules:
        by_port.setdefault(rule["FromPort"], []).append(rule["Description"])
    database = 5433 if "existing" in case else 5432
    assert by_port[6432] == ["From the load balancer"]
    assert "Functions of the broker" in by_port[5432]
    at_the_database = ["Monitor and reaper", "The poolers", "The provisioner makes roles"]
    assert sorted(set(by_port[database]) - {"Functions of the broker"}) == at_the_database
    assert len(rules) == 5


@every
def test_a_new_value_of_a_secret_reaches_role_and_tasks_by_itself(synth: Synth, case: str) -> None:
    stack = synth(case)
    rules = [r for r in stack.properties("AWS::Events::Rule") if "EventPattern" in r]
    watched = {}
    for rule in rules:
        detail = rule["EventPattern"]["detail"]
        assert "PutSecretValue" in detail["eventName"]
        assert "RotationSucceeded" in detail["eventName"]
        (target,) = rule["Targets"]
        name = target["Arn"]["Fn::GetAtt"][0]
        watched[name] = detail["$or"][0]["responseElements"]["arn"]
        if "Provisioner" in name:
            assert "Roles" in json.dumps(target["Input"])
    sizes = {"Provisioner" if "Provisioner" in n else "Roller": len(v) for n, v in watched.items()}
    assert sizes == {"Provisioner": 3, "Roller": 2}  # the role's and the watchers'; the others
    (roller,) = [
        f for n, f in stack.all("AWS::Lambda::Function").items() if n.startswith("BrokerRoller")
    ]
    variables = roller["Properties"]["Environment"]["Variables"]
    assert set(variables) == {"CLUSTER", "SERVICE", "ROLE_SECRET_ARNS", "SECRET_ARNS"}
    of_roles = variables["ROLE_SECRET_ARNS"]
    assert "ServerSecrets" in json.dumps(of_roles)
    assert of_roles in next(arns for name, arns in watched.items() if "Provisioner" in name)
    assert "VpcConfig" not in roller["Properties"]
    (after,) = [
        each
        for name, each in stack.all("AWS::Lambda::EventInvokeConfig").items()
        if "AfterProvisioner" in name
    ]
    assert "Provisioner" in after["Properties"]["FunctionName"]["Ref"]
    told = after["Properties"]["DestinationConfig"]["OnSuccess"]["Destination"]
    assert "Roller" in told["Fn::GetAtt"][0]
    by_name = stack.all("AWS::Events::Rule")
    (look,) = [by_name[each] for each in after["DependsOn"] if each in by_name]
    assert any("MayCall" in each for each in look["DependsOn"])


@every
def test_the_certificate_is_for_the_address_and_looked_at_every_day(
    synth: Synth, case: str
) -> None:
    stack = synth(case)
    made = stack.one("Custom::BrokerCertificate")
    (balancer,) = stack.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert made["Names"] == [{"Fn::GetAtt": [balancer, "DNSName"]}]
    (daily,) = [
        rule
        for rule in stack.properties("AWS::Events::Rule")
        if rule.get("ScheduleExpression") == "rate(1 day)"
    ]
    assert "Renew" in json.dumps(daily["Targets"])


def test_an_image_in_ecr_may_be_pulled_and_no_other(
    synthesize: Callable[..., Synthesized],
) -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pools/pgbouncer:1.24.1"
    stack = synthesize(toml(), image=image)
    assert container(stack)["Image"]
    text = json.dumps(stack.properties("AWS::IAM::Policy"))
    assert "arn:aws:ecr:eu-west-1:123456789012:repository/pools/pgbouncer" in text
    assert not [n for n in stack.manifest["artifacts"] if "container-assets" in n]


def test_another_registry_s_image_is_taken_as_it_is_named(
    synthesize: Callable[..., Synthesized],
) -> None:
    stack = synthesize(toml(), image="registry.example.com/pgbouncer:1")
    assert container(stack)["Image"] == "registry.example.com/pgbouncer:1"


def test_each_process_has_its_own_ini(synthesize: Callable[..., Synthesized]) -> None:
    stack = synthesize(toml(broker='processes = 2\ntask_vcpu = 2\ntask_memory = "4 GiB"'))
    names = [each["Name"] for each in container(stack)["Environment"]]
    assert names == ["PGBOUNCER_INI_1", "PGBOUNCER_INI_2"]
    assert "peer_id = 2" in json.dumps(container(stack)["Environment"][1])


OWN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pooler-AbCdEf"
OF_ONE_S_OWN = f'certificate_secret = "{OWN}"\ncertificate_host = "pooler.example.internal"'


def test_a_certificate_of_one_s_own_takes_the_place_of_the_provisioner_s(
    synthesize: Callable[..., Synthesized],
) -> None:
    stack = synthesize(toml(deploy=OF_ONE_S_OWN))
    assert not stack.all("Custom::BrokerCertificate")
    found = {each["Name"]: each["ValueFrom"] for each in container(stack)["Secrets"]}
    assert found["PGBOUNCER_CERTIFICATE"] == OWN
    assert stack.template["Outputs"]["Host"]["Value"] == "pooler.example.internal"


@pytest.mark.parametrize("origin", ["new", "existing"])
def test_its_name_leads_to_the_load_balancer_from_inside_the_vpc(
    synthesize: Callable[..., Synthesized], origin: str
) -> None:
    stack = synthesize(toml(origin=origin, deploy=OF_ONE_S_OWN))
    (zone_id,), zone = stack.all("AWS::Route53::HostedZone"), stack.one("AWS::Route53::HostedZone")
    assert zone["Name"] == "pooler.example.internal."
    (vpc,) = zone["VPCs"]
    group = stack.properties("AWS::EC2::SecurityGroup")[0]
    assert vpc["VPCId"] == group["VpcId"]
    record = stack.one("AWS::Route53::RecordSet")
    assert (record["HostedZoneId"], record["Type"]) == ({"Ref": zone_id}, "A")
    assert record["Name"] == "pooler.example.internal."
    (balancer,) = stack.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert {"Fn::GetAtt": [balancer, "DNSName"]} in record["AliasTarget"]["DNSName"]["Fn::Join"][1]


def test_a_name_that_leads_there_already_is_left_alone(
    synthesize: Callable[..., Synthesized],
) -> None:
    stack = synthesize(toml(deploy=f"{OF_ONE_S_OWN}\ncertificate_record = false"))
    assert not stack.all("AWS::Route53::HostedZone")
    assert not stack.all("AWS::Route53::RecordSet")
    assert stack.template["Outputs"]["Host"]["Value"] == "pooler.example.internal"


def test_the_provisioner_s_certificate_needs_no_name(synth: Synth) -> None:
    assert not synth("pgbouncer-new-instance").all("AWS::Route53::HostedZone")


def test_two_users_log_in_at_the_pooler_as_they_are(
    synthesize: Callable[..., Synthesized],
) -> None:
    stack = synthesize(toml(broker=TWO_PAIRS, functions=TWO_USERS))
    names = {each["Name"] for each in container(stack)["Secrets"]}
    assert names == {
        "PGBOUNCER_SERVER_SECRET_1",
        "PGBOUNCER_SERVER_SECRET_2",
        "PGBOUNCER_CERTIFICATE",
    }


@pytest.mark.parametrize(
    ("broker", "told"),
    [
        ("task_vcpu = 0.3", "broker.task_vcpu = 0.3: Fargate has 0.25, 0.5, 1, 2, 4, 8, 16"),
        ('task_memory = "8 GiB"', "with task_vcpu = 0.5 Fargate has 1 to 4 GiB in steps of 1"),
        ('task_vcpu = 0.25\ntask_memory = "1.5 GiB"', "Fargate has 0.5 to 2 GiB"),
    ],
)
def test_a_task_that_fargate_has_not_is_refused(planned: Planned, broker: str, told: str) -> None:
    with pytest.raises(BadDeployment, match=told):
        sizing(planned(toml(broker=broker)))


@pytest.mark.parametrize(
    ("tasks", "overlap", "percents"),
    [(2, 2, (100, 200)), (3, 2, (100, 200)), (2, 1, (50, 100)), (1, 1, (0, 100))],
)
def test_a_rollout_can_always_move(
    planned: Planned, tasks: int, overlap: int, percents: tuple[int, int]
) -> None:
    made = sizing(planned(toml(broker=f"tasks = {tasks}\noverlap = {overlap}")))
    assert (made.min_healthy_percent, made.max_healthy_percent) == percents
