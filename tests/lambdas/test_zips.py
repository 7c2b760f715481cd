"""Each folder of lambdas/ works as its zip has it: under its own name, with what it requires."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["monitor", "provisioner", "reaper", "roller"]
WATCHERS = ("monitor", "reaper")  # they observe, and count in EMF
REQUIREMENTS = ROOT / "lambdas/provisioner/requirements.txt"


def pins(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line and line[0] != "#")


def test_what_the_provisioner_bundles_is_what_was_tested() -> None:
    tested = pins(ROOT / "constraints.txt")

    bundled = pins(REQUIREMENTS)
    assert {"pg8000", "cryptography"} <= set(bundled)
    assert bundled == {name: tested[name] for name in bundled}


@pytest.mark.parametrize("name", NAMES)
def test_a_handler_is_found_where_the_zip_has_it_with_nothing_but_its_requirements(
    name: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "lambdas" / name, tmp_path / name)
    if name != "roller":
        ignore = _what_observes if name in WATCHERS else _only_the_library
        shutil.copytree(ROOT / "broker", tmp_path / "broker", ignore=ignore)
    program = (
        "import json, sys\n"
        f"from {name}.handler import handler\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    loaded = set(json.loads(ran.stdout))
    assert "lambdas" not in loaded
    assert loaded.isdisjoint({"boto3", "click", "rich", "aiohttp", "plotly", "numpy", "simpy"})
    assert ("aws_lambda_powertools" in loaded) is (name in WATCHERS)
    if name == "provisioner":
        assert {"cryptography", "scramp", "broker"} <= loaded
    assert "pg8000" not in loaded  # it is there for its errors, which are loaded when one comes


def _only_the_library(folder: str, names: list[str]) -> list[str]:
    """Leave out what is a developer's, as infra does."""
    return [n for n in names if n in ("plan", "observe") or n in _what_observes(folder, names)]


def _what_observes(folder: str, names: list[str]) -> list[str]:
    """Leave out what the monitor and the reaper do without; they need broker.plan's thresholds."""
    return [n for n in names if n in ("cli", "local", "pgbouncer", "simulate", "__pycache__")]


@pytest.mark.parametrize("name", NAMES)
def test_a_handler_is_short_and_only_parses_calls_and_returns(name: str) -> None:
    source = (ROOT / "lambdas" / name / "handler.py").read_text()

    (made,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    assert made.end_lineno is not None
    assert made.end_lineno - made.lineno < 40
