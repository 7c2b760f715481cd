"""examples/alembic_migrations: Alembic's own command, on the one session kept for migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker import Broker
from broker.settings import Flavour

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ALEMBIC = (sys.executable, "-m", "alembic", "-c", str(EXAMPLES / "alembic_migrations/alembic.ini"))
FINISH_BOUND_S = 120.0
AT_ONCE = 4


@pytest.fixture
def environ(broker_database):
    """Return the variables of a role that may have one session, and makes what is app's."""
    role = f"migrator_{broker_database.name}"
    broker_database.admin(f"create role {role} login password 'm' connection limit 1 in role app")
    broker_database.admin(f"alter role {role} set role = 'app'")
    variables = broker_database.variables(Flavour.DIRECT)
    yield {**os.environ, **variables, "BROKER_USER": role, "BROKER_PASSWORD": "m"}
    broker_database.admin(f"drop role {role}")


def start(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ALEMBIC, *arguments],
        cwd="/",
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    process = start(environ, *arguments)
    said, _ = process.communicate(timeout=FINISH_BOUND_S)
    return process.returncode, said


def columns(db: Broker) -> set[str]:
    sql = "select column_name from information_schema.columns where table_name = 'customers'"
    return {row[0] for row in db.run(sql)}


def test_up_down_and_the_models_agree_with_the_database(environ, broker_db: Broker) -> None:
    assert run(environ, "upgrade", "head")[0] == 0
    assert columns(broker_db) == {"id", "name", "email"}
    code, said = run(environ, "check")
    assert (code, said.splitlines()[-1]) == (0, "No new upgrade operations detected.")
    assert run(environ, "downgrade", "0001")[0] == 0
    assert columns(broker_db) == {"id", "name"}


def test_what_was_changed_behind_its_back_is_found(environ, broker_db: Broker) -> None:
    assert run(environ, "upgrade", "head")[0] == 0
    broker_db.run("alter table customers drop column email")
    code, said = run(environ, "check")
    assert code != 0
    assert "add_column" in said


@pytest.mark.parametrize("limit", [1, AT_ONCE])
def test_several_deploys_at_once_migrate_it_once(
    environ, broker_database, broker_db: Broker, limit: int
) -> None:
    role = environ["BROKER_USER"]
    broker_database.admin(f"alter role {role} connection limit {limit}")
    deploys = [start(environ, "upgrade", "head") for _ in range(AT_ONCE)]
    said = [deploy.communicate(timeout=FINISH_BOUND_S)[0] for deploy in deploys]
    assert [deploy.returncode for deploy in deploys] == [0] * AT_ONCE, said
    assert sum("Running upgrade 0001 -> 0002" in one for one in said) == 1
    assert columns(broker_db) == {"id", "name", "email"}


def test_a_step_that_fails_leaves_nothing_of_the_run(environ, broker_db: Broker) -> None:
    broker_db.run("create table customers_email (n int)")
    broker_db.run("create unique index customers_email_key on customers_email (n)")
    code, said = run(environ, "upgrade", "head")
    assert code != 0
    assert "customers_email_key" in said
    assert columns(broker_db) == set()
    broker_db.run("drop table customers_email")
    assert run(environ, "upgrade", "head")[0] == 0


def test_a_table_that_somebody_holds_is_waited_for_for_seconds_only(
    environ, broker_db: Broker
) -> None:
    assert run(environ, "upgrade", "0001")[0] == 0
    with broker_db.transaction() as tx:
        tx.run("lock table customers in access share mode")
        code, said = run(environ, "upgrade", "head")
    assert code != 0
    assert "55P03" in said
    assert columns(broker_db) == {"id", "name"}


def test_it_does_not_go_through_the_pooler(environ, broker_database) -> None:
    pooled = broker_database.variables(Flavour.PGBOUNCER)
    code, said = run({**environ, **pooled}, "upgrade", "head")
    assert code != 0
    assert "migrations go past the pooler" in said


def test_a_handler_uses_the_tables_and_never_migrates(
    environ, broker_function, broker_db: Broker
) -> None:
    migrating = broker_function(
        "migrates.handler",
        code=Path(__file__).with_name("functions"),
        environment={"EXAMPLE": str(EXAMPLES / "alembic_migrations"), "BROKER_FLAVOUR": "direct"},
    )
    assert "do not run in a handler" in migrating()
    assert columns(broker_db) == set()
    assert run(environ, "upgrade", "head")[0] == 0
    handler = broker_function("alembic_migrations.handler.handler", code=EXAMPLES)
    assert handler({"name": "Ada", "email": "ada@example.com"}) == ["Ada"]
    assert handler({"name": "Joan"}) == ["Ada", "Joan"]
