"""SQLAlchemy's own suite for dialects passes, direct and behind PgBouncer; half a minute each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres

ROOT = Path(__file__).parents[2]
NOT_IN_POSTGRESQL = "PostgreSQL has no such thing"
TEMPORARY = "temporary tables stay with a pooled session"
LEGACY = "JSON_EXTRACT, of which the suite itself says: a legacy feature, not needed"

SKIPPED = {
    "ComponentReflectionTest::test_get_temp_table_columns": TEMPORARY,
    "ComponentReflectionTest::test_get_temp_table_indexes": TEMPORARY,
    "ComponentReflectionTest::test_get_temp_table_names": TEMPORARY,
    "ComponentReflectionTest::test_get_temp_table_unique_constraints": TEMPORARY,
    "ComponentReflectionTest::test_get_temp_view_columns": TEMPORARY,
    "ComponentReflectionTest::test_get_temp_view_names": TEMPORARY,
    "ComponentReflectionTest::test_reflect_table_temp_table": TEMPORARY,
    "HasTableTest::test_has_table_temp_table": TEMPORARY,
    "HasTableTest::test_has_table_temp_view": TEMPORARY,
    "TableViaSelectTest::test_with_metadata": TEMPORARY,  # where it is a temporary one
    "TableViaSelectTest::test_without_metadata": TEMPORARY,
    "ComponentReflectionTestExtra::test_string_length_reflection": "nvarchar; " + NOT_IN_POSTGRESQL,
    "FetchLimitOffsetTest::test_fetch_offset_percent": "fetch percent; " + NOT_IN_POSTGRESQL,
    "FetchLimitOffsetTest::test_fetch_offset_percent_ties": "fetch percent; " + NOT_IN_POSTGRESQL,
    "FetchLimitOffsetTest::test_simple_fetch_percent": "fetch percent; " + NOT_IN_POSTGRESQL,
    "FetchLimitOffsetTest::test_simple_fetch_percent_ties": "fetch percent; " + NOT_IN_POSTGRESQL,
    "JSONTest::test_index_typed_access": LEGACY,
    "JSONTest::test_index_typed_comparison": LEGACY,
    "JSONTest::test_path_typed_comparison": LEGACY,
    "LastrowidTest::test_native_lastrowid_autoinc": "lastrowid; " + NOT_IN_POSTGRESQL,
    "RepeatedColumnForeignKeyTest::test_get_foreign_keys_local_repeated": NOT_IN_POSTGRESQL,
    "RepeatedColumnForeignKeyTest::test_get_foreign_keys_remote_repeated": NOT_IN_POSTGRESQL,
    "RepeatedColumnForeignKeyTest::test_reflect_constraint_local_repeated": NOT_IN_POSTGRESQL,
    "RepeatedColumnForeignKeyTest::test_reflect_constraint_remote_repeated": NOT_IN_POSTGRESQL,
}


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["direct", "pgbouncer"])
def test_the_dialect_suite_passes(flavour: str, tmp_path: Path) -> None:
    found = tmp_path / "results.xml"
    with Postgres({"max_prepared_transactions": "5"}) as server:
        server.create_role("app", "secret")
        server.create_database("app", owner="app")
        server.admin("create schema test_schema authorization app", database="app")
        if flavour == "direct":
            ran = run_suite(server.port, flavour, found)
        else:
            config: dict[str, dict[str, str]] = {
                "databases": {"app": server.conninfo("app")},
                "pgbouncer": {},
            }
            with PgBouncer(config, {"app": "secret"}) as pooler:
                ran = run_suite(pooler.port, flavour, found)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    passed, skipped = read(found)
    assert skipped == set(SKIPPED)
    assert passed > 1500  # it was the suite that ran


def run_suite(port: int, flavour: str, found: Path) -> subprocess.CompletedProcess[str]:
    env = {
        "PYTHONPATH": str(ROOT),
        "BROKER_HOST": Postgres.host,
        "BROKER_PORT": str(port),
        "BROKER_DATABASE": "app",
        "BROKER_USER": "app",
        "BROKER_PASSWORD": "secret",
        "BROKER_TLS": "off",
        "BROKER_FLAVOUR": flavour,
        "BROKER_MAX_SESSIONS": "5",  # some tests hold two connections
    }
    pytest_args = ["-c", "setup.cfg", "-p", "tests.dialect.plugin", "-p", "no:cacheprovider"]
    suite_args = ["--dburi", "postgresql+broker://", f"--junitxml={found}", "-q", "suite.py"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *pytest_args, *suite_args],
        cwd=ROOT / "tests/dialect",
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def read(found: Path) -> tuple[int, set[str]]:
    """Return how many passed, and the names of the tests that were skipped."""
    passed, skipped = 0, set()
    for case in ElementTree.parse(found).iter("testcase"):
        group = case.get("classname", "").rpartition(".")[2].partition("_postgresql")[0]
        name = re.sub(r"\[.*", "", case.get("name", ""), flags=re.DOTALL)
        if case.find("skipped") is None:
            passed += 1
        else:
            skipped.add(f"{group}::{name}")
    return passed, skipped
