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
REQUIREMENTS = ROOT / "lambdas/provisioner/requirements.txt"


def pins(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line and line[0] != "#")


def test_what_the_provisioner_bundles_is_what_was_tested() -> None:
    tested = pins(ROOT / "constraints.txt")

    bundled = pins(REQUIREMENTS)
    assert {"pg8000", "cryptography"} <= set(bundled)
    assert bundled == {name: tested[name] for name in bundled}


@pytest.mark.parametrize("name", ["provisioner", "roller"])
def test_a_handler_is_found_where_the_zip_has_it_with_nothing_but_its_requirements(
    name: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "lambdas" / name, tmp_path / name)
    if name == "provisioner":
        shutil.copytree(ROOT / "broker", tmp_path / "broker", ignore=_only_the_library)
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
    assert loaded.isdisjoint({"aws_lambda_powertools", "click", "rich", "aiohttp", "plotly"})
    if name == "provisioner":
        assert {"pg8000", "cryptography", "scramp", "broker"} <= loaded


def _only_the_library(folder: str, names: list[str]) -> list[str]:
    """Leave out what is a developer's, as infra does."""
    return [n for n in names if n in ("cli", "local", "plan", "pgbouncer", "__pycache__")]


@pytest.mark.parametrize("name", ["provisioner", "roller"])
def test_a_handler_is_short_and_only_parses_calls_and_returns(name: str) -> None:
    source = (ROOT / "lambdas" / name / "handler.py").read_text()

    (made,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    assert made.end_lineno is not None
    assert made.end_lineno - made.lineno < 40
