"""What `pip install` gives a user: everything that is needed, nothing else, and its types."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from wheels import run

import broker

ROOT = Path(__file__).parents[2]
PYRIGHT = ROOT / "node_modules/.bin/pyright"
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
    assert run(clean, "-c", used, cwd=tmp_path).strip() == broker.__version__


def test_a_users_program_is_typed_from_the_wheel_alone(clean: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USERS_PROGRAM)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", clean)
    run(*mypy, "--cache-dir", tmp_path / "cache", program, cwd=tmp_path)
    program.write_text(USERS_PROGRAM.replace("assert_type(rows, Result)", "rows.dict()"))
    wrong = subprocess.run(
        [*mypy, "--cache-dir", tmp_path / "cache", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"Result" has no attribute "dict"' in wrong.stdout


def pyright(program: Path, python: Path) -> subprocess.CompletedProcess[str]:
    """Check the program in strict mode, with the .venv's Node."""
    (program.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    assert PYRIGHT.exists(), "make node makes it"
    return subprocess.run(
        [PYRIGHT, "--pythonpath", python, program],
        cwd=program.parent,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_users_program_is_clean_in_pyright_s_strict_mode_too(clean: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USERS_PROGRAM)
    done = pyright(program, clean)
    assert done.returncode == 0, done.stdout + done.stderr
    program.write_text(USERS_PROGRAM.replace("assert_type(rows, Result)", "rows.dict()"))
    wrong = pyright(program, clean)
    assert 'Cannot access attribute "dict" for class "Result"' in wrong.stdout


def test_the_command_says_what_it_lacks_where_only_the_wheel_is(clean: Path) -> None:
    done = subprocess.run(
        [clean.parent / "broker", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "lambda-pg-broker[local]" in done.stderr
    assert "Traceback" not in done.stderr
