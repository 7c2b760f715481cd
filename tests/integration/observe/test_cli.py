"""`broker doctor` and `broker reap` as a person runs them: exit codes, JSON, and no password."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import click
import pg8000.native
import pytest
from click.testing import CliRunner, Result

from broker import Broker
from broker.cli import doctor as doctor_module
from broker.cli import dsn
from broker.cli.commands import Commands
from broker.cli.doctor import doctor
from broker.cli.dsn import settings
from broker.cli.reap import reap
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.observe.verdict import Policy
from tests.integration.observe.conftest import (
    ORDINARY,
    PASSWORD,
    Crowd,
    address_of,
    console_of,
)
from tests.wait import wait_until

SECRET = "hunter2"
Start = Callable[..., PgBouncer]


@click.group(cls=Commands)
def group() -> None:
    """Show errors as the real group does."""


for command in (doctor, reap):
    group.add_command(command)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))


def test_a_healthy_server_exits_0_and_says_what_was_not_seen(
    newest: Postgres, crowd18: Crowd
) -> None:
    result = run("doctor", address_of(newest, "watcher"))
    assert result.exit_code == 0
    assert "0 of 40 sessions (0%, ours not counted), 3 reserved" in result.output
    assert "No finding: nothing here explains a 53300." in result.output
    assert "the machine's memory" in result.output
    assert "the pooler, if there is one: give --pgbouncer" in result.output


def test_a_finding_exits_1_and_comes_with_evidence_remedy_and_what_to_apply(
    newest: Postgres, crowd18: Crowd
) -> None:
    for host in range(2, 6):
        crowd18.open(9, application="web", address=f"127.0.0.{host}")
    result = run("doctor", address_of(newest, "watcher"))
    assert result.exit_code == 1
    assert "1. Pools are too large, in aggregate [pools_too_large]" in result.output
    assert "   - web as app on postgres from 127.0.0.2: 9 sessions, 9 idle" in result.output
    assert "   Remedy: Lower the pool of each instance" in result.output
    assert "   Apply:  max: 8" in result.output


def test_json_has_the_same(newest: Postgres, crowd18: Crowd, pooler_to: Start) -> None:
    pooler = pooler_to(newest.conninfo("postgres"), default_pool_size="50", reserve_pool_size="0")
    crowd18.open(1, port=pooler.port, database="appdb")
    result = run("doctor", address_of(newest), "--pgbouncer", console_of(pooler), "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["server"]["max_connections"] == 40
    assert told["server"]["sessions"] == 1
    [finding] = told["findings"]
    assert finding["kind"] == "pooler_limits"
    assert set(finding) == {
        *("kind", "title", "sentence", "sessions", "evidence", "remedy", "apply"),
    }


def test_a_full_server_exits_1_with_nothing_but_the_refusal(
    newest: Postgres, crowd18: Crowd
) -> None:
    crowd18.open(ORDINARY)
    result = run("doctor", address_of(newest, "watcher"), "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["server"] is None
    assert [finding["kind"] for finding in told["findings"]] == ["refused"]


def test_memory_may_be_given(newest: Postgres, crowd18: Crowd) -> None:
    result = run("doctor", address_of(newest, "watcher"), "--memory", "500MB")
    assert "[memory]" in result.output
    assert run("doctor", address_of(newest, "watcher"), "--memory", "8GiB").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor", f"postgresql://app:{SECRET}@"),
        ("doctor", f"postgresql://app:{SECRET}/@db/x"),
        ("doctor", f"mysql://app:{SECRET}@db/x"),
        ("doctor", f"postgresql://app:{SECRET}@db:none/x"),
        ("doctor", f"postgresql://app:{SECRET}@db/x?nonsense={SECRET}"),
        ("doctor", "postgresql://app@db/x", f"postgresql://app:{SECRET}@db/x"),
        ("doctor", "postgresql://app@db/x", "--pgbouncer", f"postgresql://app:{SECRET}@"),
        ("doctor", "postgresql://app@db/x", "--watch", "often"),
        ("doctor", "postgresql://app@db/x", "--memory", "much"),
        ("reap", f"postgresql://app:{SECRET}@db/x", "--end"),
        ("reap", f"postgresql://app:{SECRET}@db/x", "--end", "--application", "x"),
        ("reap", f"postgresql://app:{SECRET}@db/x", f"postgresql://app:{SECRET}@db/x"),
        ("reap", f"postgresql://app:{SECRET}@db/x", "--older-than", "0s"),
        ("reap", f"postgresql://app:{SECRET}@db/x", "--at-most", "0"),
    ],
)
def test_bad_usage_exits_2_in_a_line_without_the_password(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert SECRET not in result.output + result.stderr
    assert "Traceback" not in result.output


def test_the_password_may_come_from_the_environment(
    newest: Postgres, crowd18: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    bare = f"postgresql://watcher@{newest.host}:{newest.port}/postgres?sslmode=disable"
    assert run("doctor", bare).exit_code == 0


def test_watch_looks_again_and_again_until_it_is_interrupted(
    newest: Postgres, crowd18: Crowd
) -> None:
    program = "from broker.cli import main; main()"
    watching = subprocess.Popen(
        [
            *(sys.executable, "-c", program, "doctor", address_of(newest, "watcher")),
            *("--watch", "100ms", "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    crowd18.open(ORDINARY - 1, application="late")  # the doctor's own session needs one
    found: list[str] = []
    until = time.monotonic() + 30
    while not found and time.monotonic() < until:
        found = [each["kind"] for each in json.loads(watching.stdout.readline())["findings"]]
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=30)
    assert first["findings"] == []
    assert found
    assert watching.returncode == 130
    assert "interrupted" in errors


def test_fix_idle_hands_over_to_the_reaper_which_ends_nothing(
    newest: Postgres, crowd18: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    [connection] = crowd18.open(application="orders", sql="begin")
    monkeypatch.setattr(doctor_module, "everything", lambda _: Policy(("*",), ("*",), idle_s=0.0))
    result = run("doctor", address_of(newest, "watcher"), "--fix-idle")
    assert "to_end: pid" in result.output
    assert 'broker reap "$DSN" --application NAME --role ROLE --end' in result.output
    connection.run("select 1")


def test_fix_idle_does_not_say_how_to_end_where_there_is_nobody_to_end(
    newest: Postgres, crowd18: Crowd
) -> None:
    none = run("doctor", address_of(newest, "watcher"), "--fix-idle").output
    crowd18.open(application="orders", sql="begin")
    young = run("doctor", address_of(newest, "watcher"), "--fix-idle").output
    assert "No session is idle in transaction." in none
    assert "too_young: pid" in young
    assert "End them" not in none + young


def test_reap_is_a_dry_run_until_it_is_told_to_end(newest: Postgres, crowd18: Crowd) -> None:
    [connection] = crowd18.open(application="orders", sql="begin; select 'evidence'")
    [spared] = crowd18.open(application="billing", sql="begin")
    time.sleep(0.3)
    arguments = ("reap", address_of(newest), "--older-than", "200ms")

    dry = run(*arguments)
    assert dry.exit_code == 1
    assert len(re.findall("^to_end: pid", dry.output, re.M)) == 2
    assert "'evidence'" in dry.output
    add = "Nothing was ended. To end them, add"
    assert f"{add} --application NAME --role ROLE --end\n" in dry.output
    assert f"{add} --end\n" in run(*arguments, "--application", "ord*", "--role", "app").output
    connection.run("select 1")
    time.sleep(0.3)

    ended = run(*arguments, "--end", "--application", "ord*", "--role", "app", "--json")
    told = {each["application"]: each["verdict"] for each in json.loads(ended.output)}
    assert ended.exit_code == 0
    assert told == {"orders": "ended", "billing": "other_application"}
    with pytest.raises((pg8000.native.Error, OSError)):
        connection.run("select 1")
    spared.run("select 1")
    with suppress(pg8000.native.Error):
        spared.run("rollback")
    nobody = wait_until(
        lambda: "No session is idle in transaction." in run(*arguments).output, "all to be well"
    )
    assert nobody
    assert "To end them" not in run(*arguments).output


def test_reap_as_a_role_without_pg_monitor_says_what_it_does_not_see(
    newest: Postgres, crowd18: Crowd
) -> None:
    alone = run("reap", address_of(newest, "app", PASSWORD))
    crowd18.open(user="watcher", sql="begin")
    blind = run("reap", address_of(newest, "app", PASSWORD))
    seeing = run("reap", address_of(newest, "watcher"), "--json")
    assert "Not seen: app lacks pg_monitor" in blind.stderr
    assert alone.stderr == seeing.stderr == ""
    assert len(json.loads(seeing.stdout)) == 1


def test_the_doctor_counts_the_sessions_that_it_cannot_judge_and_is_silent_where_there_are_none(
    newest: Postgres, crowd18: Crowd
) -> None:
    alone = run("doctor", address_of(newest, "app", PASSWORD)).output
    crowd18.open(2, user="watcher")
    crowd18.open(application="mine")
    blind = run("doctor", address_of(newest, "app", PASSWORD)).output
    assert "pg_monitor" not in alone
    assert (
        "app lacks pg_monitor: it sees neither state nor query of 2 of 3 sessions, and no "
        "replication" in blind
    )


def test_where_nobody_listens_the_reapers_advice_is_on_the_dsn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dsn, "PATIENCE_S", 0.5)
    result = run("reap", f"postgresql://app:{SECRET}@127.0.0.1:1/x?sslmode=disable")
    assert result.exit_code == 1
    assert "Check the DSN's host and port (127.0.0.1:1)" in result.stderr
    assert "BROKER_" not in result.stderr


def test_a_statement_is_shown_as_the_server_has_it_without_what_was_bound(
    newest: Postgres, crowd18: Crowd
) -> None:
    bound = replace(settings(newest.dsn("app", PASSWORD) + "?sslmode=disable"), strict=True)
    with Broker(bound) as db, db.transaction() as tx:
        tx.run("select 'a literal', :card::text", card="4111-1111")
        for arguments in (("reap",), ("reap", "--json"), ("doctor", "--fix-idle")):
            shown = run(arguments[0], address_of(newest), *arguments[1:]).output
            assert "select 'a literal', $1::text" in shown
            assert "4111" not in shown


def test_the_doctor_only_reads(newest: Postgres, crowd18: Crowd) -> None:
    """What it sends is BEGIN READ ONLY, selects and COMMIT, as the server's own log has it."""
    newest.admin("alter role watcher set log_statement = 'all'")
    try:
        run("doctor", address_of(newest, "watcher"))
    finally:
        newest.admin("alter role watcher reset log_statement")
    sent = re.findall(
        r"/broker-doctor LOG: +(?:execute \S+|statement):\s*(\w+(?: \w+)*)",
        newest.log_tail(1_000_000),
    )
    assert len(sent) >= 8, "two looks of BEGIN, set_config, the server, the activity and COMMIT"
    assert any(statement.lower().startswith("begin read only") for statement in sent)
    assert {statement.split()[0].lower() for statement in sent} == {"begin", "select", "commit"}
