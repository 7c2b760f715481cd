"""The database that the stack makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.plan import Plan
from infra.parameters import FIXED, parameters

from .conftest import FLAVOURS, Synthesized, toml

Synth = Callable[[str], Synthesized]
Planned = Callable[[str], Plan]
INSTANCES = [f"{flavour}-new-instance" for flavour in ("direct", "pgbouncer", "proxy")]
CLUSTERS = [f"{flavour}-new-cluster" for flavour in ("direct", "pgbouncer", "proxy")]


@pytest.mark.parametrize("case", [*INSTANCES, *CLUSTERS])
def test_no_server_has_a_public_address(synth: Synth, case: str) -> None:
    servers = synth(case).properties("AWS::RDS::DBInstance")
    assert servers
    assert all(server["PubliclyAccessible"] is False for server in servers)


@pytest.mark.parametrize("case", INSTANCES)
def test_an_instance_is_protected_encrypted_and_backed_up(synth: Synth, case: str) -> None:
    made = synth(case).one("AWS::RDS::DBInstance")
    assert made["DeletionProtection"] is True
    assert made["StorageEncrypted"] is True
    assert made["MultiAZ"] is True
    assert made["BackupRetentionPeriod"] == 7
    assert made["DeleteAutomatedBackups"] is False
    assert made["EnableIAMDatabaseAuthentication"] is True
    assert made["DBInstanceClass"] == "db.m7g.large"


@pytest.mark.parametrize("case", CLUSTERS)
def test_a_cluster_is_protected_encrypted_and_backed_up(synth: Synth, case: str) -> None:
    made = synth(case).one("AWS::RDS::DBCluster")
    assert made["DeletionProtection"] is True
    assert made["StorageEncrypted"] is True
    assert made["BackupRetentionPeriod"] == 7
    assert made["EnableIAMDatabaseAuthentication"] is True
    assert made["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 1, "MaxCapacity": 8}
    writer, reader = synth(case).properties("AWS::RDS::DBInstance")
    assert writer["DBInstanceClass"] == reader["DBInstanceClass"] == "db.serverless"


@pytest.mark.parametrize("case", [*INSTANCES, *CLUSTERS])
def test_the_administrator_s_password_is_rds_own_to_rotate(synth: Synth, case: str) -> None:
    kind = "DBInstance" if case in INSTANCES else "DBCluster"
    made = synth(case).one(f"AWS::RDS::{kind}")
    assert made["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in made


@pytest.mark.parametrize("case", [*INSTANCES, *CLUSTERS])
def test_the_parameter_group_is_the_plan(synth: Synth, case: str) -> None:
    stack = synth(case)
    kind = "DBParameterGroup" if case in INSTANCES else "DBClusterParameterGroup"
    made = stack.one(f"AWS::RDS::{kind}")
    plan = stack.stack.broker.plan
    wanted = {
        **FIXED,
        "statement_timeout": str(plan.whole("statement_timeout") * 1000),
        "lock_timeout": str(plan.whole("lock_timeout") * 1000),
        "idle_in_transaction_session_timeout": str(
            plan.whole("idle_in_transaction_session_timeout") * 1000
        ),
        "idle_session_timeout": str(plan.whole("idle_session_timeout") * 1000),
        "reserved_connections": str(plan.whole("reserved.rds")),
    }
    if case in INSTANCES:  # whose broker.toml names it
        wanted["max_connections"] = "400"
    assert made["Parameters"] == wanted
    assert made["Parameters"]["rds.force_ssl"] == "1"
    assert made["Family"] == ("postgres17" if case in INSTANCES else "aurora-postgresql17")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_limit_that_nobody_gave_stays_the_platform_s_formula(
    planned: Planned, flavour: str
) -> None:
    text = toml(flavour, broker="cap = 100" if flavour == "direct" else "")
    given = parameters(planned(text), "17")
    assert given["max_connections"] == "400"
    left_out = parameters(planned(text.replace("max_connections = 400", "")), "17")
    assert "max_connections" not in left_out


def test_before_16_the_reserve_has_rds_own_name(planned: Planned) -> None:
    found = parameters(planned(toml()), "15")
    assert found["rds.rds_superuser_reserved_connections"] == "2"
    assert "reserved_connections" not in found


def test_waits_for_locks_end_before_statements_do(planned: Planned) -> None:
    found = parameters(planned(toml()), "17")
    assert int(found["lock_timeout"]) <= int(found["statement_timeout"])
    assert int(found["statement_timeout"]) < int(found["idle_in_transaction_session_timeout"])


def test_the_database_is_as_its_settings_say(synthesize: Callable[..., Synthesized]) -> None:
    deploy = """
[deploy.database]
version = "16.10"
storage = "100 GiB"
backup_days = 14
multi_az = false
"""
    stack = synthesize(toml(deploy=deploy))
    made = stack.one("AWS::RDS::DBInstance")
    assert (made["EngineVersion"], made["AllocatedStorage"]) == ("16.10", "100")
    assert (made["BackupRetentionPeriod"], made["MultiAZ"]) == (14, False)
    assert stack.one("AWS::RDS::DBParameterGroup")["Family"] == "postgres16"


def test_a_cluster_has_as_many_readers_as_it_says(synthesize: Callable[..., Synthesized]) -> None:
    deploy = "[deploy.database]\nreaders = 3\n"
    stack = synthesize(toml("pgbouncer", kind="cluster", deploy=deploy))
    assert len(stack.all("AWS::RDS::DBInstance")) == 4
