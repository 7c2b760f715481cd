"""The wheel works on every Python that it says it is for."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from wheels import ROOT, install

from broker.settings import Flavour
from broker.testing import Database
from infra.layer import RUNTIMES

from .interpreters import SUPPORTED, interpreter

LOOKED_AT = {"BROKER_FRESH_S": "0"}  # each session, each time: no moment in which it is trusted
CLASSIFIER = "Programming Language :: Python :: 3."
PROGRAM = """
import platform

from broker import Broker, Settings

db = Broker.from_env()
assert db.run("select 40 + :n::int as n", n=2).scalar() == 42
with db.transaction() as tx:
    tx.run("create table orders (id int)")
    tx.run("insert into orders values (:id)", id=1)
try:
    with db.transaction() as tx:
        tx.run("insert into orders values (:id)", id=2)
        raise KeyError
except KeyError:
    pass
assert db.run("select id from orders").dicts() == [{"id": 1}]

mine = "select pg_backend_pid() as pid"
before = db.run(mine).scalar()
with Broker(Settings.from_env()) as other:
    assert other.run("select pg_terminate_backend(:pid::int, 5000) as gone", pid=before).scalar()
after = db.run(mine).scalar()
assert after != before, (before, after)
db.close()
print(platform.python_version())
"""


def test_the_classifiers_are_the_pythons_that_are_tried_here() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert [each.split()[-1] for each in told if each.startswith(CLASSIFIER)] == list(SUPPORTED)


def test_the_layer_is_for_the_same_pythons() -> None:
    assert [each.name.removeprefix("python") for each in RUNTIMES] == list(SUPPORTED)


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_wheel_reads_writes_and_survives_a_killed_session_on(
    version: str, wheel: Path, broker_database: Database, tmp_path: Path
) -> None:
    """With every warning an error: what the next Python takes away, this one warns of."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no python{version} on PATH or in pyenv that has venv")
    installed = install(wheel, tmp_path / "venv", python)
    done = subprocess.run(
        [installed, "-X", "dev", "-W", "error", "-c", PROGRAM],
        cwd=tmp_path,
        env={**broker_database.variables(Flavour.DIRECT), **LOOKED_AT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{version}."), done.stdout
    assert not done.stderr
