"""`broker plan`, `render` and `measure`: exit codes, JSON, and no password in any message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from broker.cli import dsn
from broker.cli.commands import Commands
from broker.cli.dsn import settings
from broker.cli.measure import measure
from broker.cli.plan import plan
from broker.cli.render import render
from broker.errors import UsageError
from broker.settings import Tls

ROOT = Path(__file__).parents[3]
EXAMPLE = str(ROOT / "broker.toml")
TOO_MANY = """
[database]
max_connections = 100
[broker]
flavour = "direct"
[[services]]
name = "web"
instances = 30
sessions = 20
"""


@click.group(cls=Commands)
def group() -> None:
    """Show errors as the real group does."""


for command in (plan, render, measure):
    group.add_command(command)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))


@pytest.fixture
def too_many(tmp_path: Path) -> str:
    path = tmp_path / "many.toml"
    path.write_text(TOO_MANY)
    return str(path)


def test_a_plan_is_a_table_and_exits_0() -> None:
    result = run("plan", EXAMPLE)
    assert result.exit_code == 0
    for word in ("default_pool_size", "25 sessions", "max_client_conn", "Note: One task"):
        assert word in result.output


def test_json_has_every_number_with_its_derivation() -> None:
    told: dict[str, Any] = json.loads(run("plan", EXAMPLE, "--json").output)
    assert told["fits"] is True
    pool = told["numbers"]["default_pool_size"]
    assert (pool["value"], pool["unit"]) == (25, "sessions")
    assert all(name in told["numbers"] for name in pool["inputs"])
    assert pool["how"]


def test_explain_goes_down_to_what_was_given() -> None:
    lines = run("plan", EXAMPLE, "--explain", "sessions_at_worst").output.splitlines()
    assert lines[0].startswith("sessions_at_worst = 74 sessions: 2 pools × 30 sessions = 60")
    assert any(line.startswith("  ") and "max_connections = 100" in line for line in lines)


def test_an_unknown_number_is_bad_usage_that_names_the_nearest() -> None:
    result = run("plan", EXAMPLE, "--explain", "max_client_con")
    assert (result.exit_code, "did you mean max_client_conn?" in result.stderr) == (2, True)


def test_a_number_that_is_like_none_is_told_how_they_are_listed() -> None:
    result = run("plan", EXAMPLE, "--explain", "nosuch")
    assert result.exit_code == 2
    assert "did you mean" not in result.stderr
    assert "`broker plan` without --explain lists them" in result.stderr


def test_a_refusal_exits_1_and_says_what_would_fit(too_many: str) -> None:
    result = run("plan", too_many)
    assert result.exit_code == 1
    assert "1,210 sessions at the worst moment" in result.output
    assert 'broker.flavour "direct" → "pgbouncer"' in result.output
    told = json.loads(run("plan", too_many, "--json").output)
    assert told["fits"] is False
    assert told["excesses"][0]["needed"] == 1210
    assert told["ways"][0]["changes"]


def test_render_refuses_what_does_not_fit_and_writes_nothing(too_many: str) -> None:
    result = run("render", too_many)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "does not fit" in result.stderr


def test_render_prints_the_file_and_the_template() -> None:
    ini = run("render", EXAMPLE, "--host", "db.example", "--server-ca", "off").stdout
    assert "host=db.example" in ini
    assert "default_pool_size = 25\n" in ini
    assert "server_tls_sslmode = disable\n" in ini
    assert '"app" "the SCRAM' in run("render", EXAMPLE, "--userlist").stdout


def test_bad_input_is_one_line_and_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[database]\nmax_conections = 100\n")
    for name in ("plan", "render"):
        result = run(name, str(path))
        assert result.exit_code == 2
        [line] = result.stderr.splitlines()
        assert line.startswith(f"broker: {path}: database.max_conections = 100: unknown key")
    assert run("plan", str(tmp_path / "none.toml")).exit_code == 2
    assert run("render", EXAMPLE, "--port", "0").exit_code == 2


SECRET = "hunter2"
DSN = f"postgresql://app:{SECRET}@127.0.0.1:1/appdb"


@pytest.mark.parametrize(
    "arguments",
    [
        ("measure", DSN),
        ("measure", DSN, DSN),
        ("measure", f"postgresql://app:{SECRET}/x@127.0.0.1/appdb"),
        ("measure", f"postgresql://app:{SECRET}?x@127.0.0.1/appdb"),
        ("measure", f"postgresql://app:{SECRET}#x@127.0.0.1/appdb"),
        ("measure", f"postgresql://app:[{SECRET}@127.0.0.1/appdb"),
        ("measure", f"mysql://app:{SECRET}@127.0.0.1/appdb"),
        ("measure", f"postgresql://127.0.0.1/appdb?password={SECRET}"),
        ("measure", f"{DSN}?sslmode=prefer"),
        ("measure", f"{DSN}?sslmode={SECRET}"),
        ("plan", DSN),
        ("plan", EXAMPLE, DSN),
        ("plan", EXAMPLE, "--check", DSN),
        ("plan", EXAMPLE, "--check", DSN, "--explain", "spare"),
        ("render", EXAMPLE, DSN),
    ],
)
def test_a_password_is_in_no_message(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert SECRET not in result.output + result.stderr


@pytest.mark.parametrize("arguments", [("measure", DSN), ("plan", EXAMPLE, "--check", DSN)])
def test_where_nobody_listens_the_advice_is_on_the_dsn(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dsn, "PATIENCE_S", 0.5)
    result = run(*arguments)
    assert result.exit_code == 1
    assert "Check the DSN's host and port (127.0.0.1:1)" in result.stderr
    assert "BROKER_" not in result.stderr


def test_a_dsn_becomes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings("postgresql://me:p%40ss@h:5433/d?sslmode=disable")
    assert (found.host, found.port, found.database) == ("h", 5433, "d")
    assert (found.user, found.password, found.tls) == ("me", "p@ss", Tls.OFF)
    monkeypatch.setenv("PGPASSWORD", "from-env")
    found = settings("postgresql://me@h")
    assert (found.database, found.password, found.tls) == ("me", "from-env", Tls.VERIFY_FULL)
    with pytest.raises(UsageError, match="names no user"):
        settings("postgresql://h/d")


def test_a_password_of_digits_and_a_slash_is_not_taken_for_a_port() -> None:
    result = run("measure", "postgresql://app:54321/x@127.0.0.1/appdb")
    assert result.exit_code == 2
    assert "write them as %2F" in result.stderr
    assert "54321" not in result.stderr
