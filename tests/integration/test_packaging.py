"""What `pip install` gives a user: everything that is needed, nothing else, and its types."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import broker

ROOT = Path(__file__).parents[2]
USERS_PROGRAM = """
from typing import Any, assert_type

import broker.dbapi
from broker import Broker, CapReached, Deadline, Result, Settings

db = Broker.from_env()


@db.handler
def handler(event: dict[str, Any], context: object) -> list[dict[str, Any]]:
    rows = db.run("select id from orders where customer = :c", c=event["customer"])
    assert_type(rows, Result)
    with db.transaction(read_only=True) as tx:
        tx.run("select 1")
    try:
        db.retry(lambda tx: tx.run("select 1").scalar())
    except CapReached as full:
        print(full)
    return rows.dicts()


def others(settings: Settings, deadline: Deadline) -> float:
    with Broker(settings) as other:
        broker.dbapi.connect(other).cursor().execute("select 1")
    return deadline.remaining_s()
"""


def succeed(*command: str | Path, cwd: Path) -> str:
    """Run it, and return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from that sdist: so it must be complete."""
    directory = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "-o", directory, ROOT, cwd=directory)
    return directory


@pytest.fixture(scope="module")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an environment that has nothing else; return its Python."""
    directory = tmp_path_factory.mktemp("clean")
    venv.create(directory, with_pip=True, symlinks=True)
    python = directory / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    succeed(
        python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=directory
    )
    return python


def test_the_wheel_holds_the_packages_and_their_types_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name.split("-")[1] == broker.__version__
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"broker", "broker_infra"}
    assert {"broker/py.typed", "broker_infra/py.typed"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".pem", ".key", ".env"))]


def test_the_sdist_holds_no_leftovers(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "broker/py.typed"} <= names
    made = (".venv", ".setup", "node_modules", "cdk.out", "build", "dist")
    assert not [name for name in names if name.split("/")[0] in made or "__pycache__" in name]


def test_the_library_is_imported_where_only_the_wheel_is(clean: Path, tmp_path: Path) -> None:
    used = "import broker, broker.dbapi; print(broker.__version__)"
    assert succeed(clean, "-c", used, cwd=tmp_path).strip() == broker.__version__


def test_a_users_program_is_typed_from_the_wheel_alone(clean: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USERS_PROGRAM)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", clean)
    succeed(*mypy, "--cache-dir", tmp_path / "cache", program, cwd=tmp_path)
    program.write_text(USERS_PROGRAM.replace("assert_type(rows, Result)", "rows.dict()"))
    wrong = subprocess.run(
        [*mypy, "--cache-dir", tmp_path / "cache", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"Result" has no attribute "dict"' in wrong.stdout


def test_the_command_says_what_it_lacks_where_only_the_wheel_is(clean: Path) -> None:
    done = subprocess.run(
        [clean.parent / "broker", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "lambda-pg-broker[local]" in done.stderr
    assert "Traceback" not in done.stderr
