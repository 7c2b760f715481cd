"""`broker plan --check` and `broker measure` against a live PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.measure import measure
from broker.cli.plan import plan
from tests.conftest import Database

DEPLOYMENT = """
[database]
engine = "postgresql"
max_connections = {limit}
memory = "8 GiB"
shared_buffers = "128 MiB"
[broker]
tasks = 1
pairs = ["{name}/{name}"]
[[functions]]
name = "orders"
concurrency = 100
"""
PLANNED_LIMIT = 60  # 2 pools of 25 + 5
PLANNED_TIMEOUTS = {  # of a function of 30 s, in as many ways as PostgreSQL reads
    "statement_timeout": "29 s",
    "idle_in_transaction_session_timeout": "32000",
    "idle_session_timeout": "15min",
}


@pytest.fixture
def dsn(database: Database) -> str:
    database.server.admin(f"alter role {database.user} connection limit {PLANNED_LIMIT}")
    for name, value in PLANNED_TIMEOUTS.items():
        database.server.admin(f"alter role {database.user} set {name} = '{value}'")
    return database.server.dsn(database.user, database.password, database.name) + "?sslmode=disable"


def check(tmp_path: Path, database: Database, dsn: str, limit: int = 100, *options: str):
    file = tmp_path / "broker.toml"
    file.write_text(DEPLOYMENT.format(limit=limit, name=database.name))
    return CliRunner().invoke(plan, [str(file), "--check", dsn, *options])


def test_a_server_as_planned_exits_0(tmp_path: Path, database: Database, dsn: str) -> None:
    result = check(tmp_path, database, dsn)
    assert (result.exit_code, result.output) == (0, "The server is as planned.\n")


def test_another_max_connections_exits_1_and_says_what_to_do(
    tmp_path: Path, database: Database, dsn: str
) -> None:
    result = check(tmp_path, database, dsn, 500)
    assert result.exit_code == 1
    assert "max_connections: planned 500, the server has 100. Set database" in result.output


def test_a_role_without_its_limit_is_drift_with_the_statement_that_mends_it(
    tmp_path: Path, database: Database, dsn: str
) -> None:
    database.server.admin(f"alter role {database.user} connection limit -1")
    result = check(tmp_path, database, dsn, 100, "--json")
    assert result.exit_code == 1
    [drift] = json.loads(result.output)["drifts"]
    assert (drift["planned"], drift["live"]) == ("60", "none")
    database.server.admin(drift["remedy"].removeprefix("Run: "))
    assert check(tmp_path, database, dsn).exit_code == 0


def test_a_roles_timeouts_are_the_plans_and_the_database_s_own_word_goes_over_the_roles(
    tmp_path: Path, database: Database, dsn: str
) -> None:
    admin = database.server.admin
    admin(f"alter role {database.user} reset idle_session_timeout")
    admin(f"alter role {database.user} in database {database.name} set statement_timeout = '9min'")
    result = check(tmp_path, database, dsn, 100, "--json")
    assert result.exit_code == 1
    drifts = json.loads(result.output)["drifts"]
    assert [(drift["planned"], drift["live"]) for drift in drifts] == [
        ("29 s", "9min"),
        ("900 s", "none"),
    ]
    for drift in drifts:
        admin(drift["remedy"].removeprefix("Run: "))
    assert check(tmp_path, database, dsn).exit_code == 0


def test_the_password_may_come_from_the_environment(
    tmp_path: Path, database: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", database.password)
    server = database.server
    bare = f"postgresql://{database.user}@{server.host}:{server.port}/{database.name}"
    assert check(tmp_path, database, f"{bare}?sslmode=disable").exit_code == 0


def test_measure_says_what_a_backend_costs_and_what_max_connections_is(database: Database) -> None:
    """The superuser may read /proc, the owner of a database sees nothing of it, or its own."""
    address = database.server.dsn() + "?sslmode=disable"
    result = CliRunner().invoke(measure, [address, "--json"])
    assert result.exit_code == 0
    told = json.loads(result.output)
    assert told["max_connections"] == 100
    assert told["superuser_reserved_connections"] == 3
    assert 10**6 < told["memory_per_connection_bytes"] < 10**8


def test_measure_without_the_right_to_see_memory_says_so(database: Database, dsn: str) -> None:
    result = CliRunner().invoke(measure, [dsn])
    assert result.exit_code == 0
    assert "max_connections = 100" in result.output
    assert "memory_per_connection = unknown (not shown here: " in result.output
