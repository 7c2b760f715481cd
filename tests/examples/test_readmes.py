"""Each example's README: what it says is printed is what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES

ROOT = EXAMPLES.parent
ALIAS = re.compile(r"^alias invoke='.venv/bin/broker invoke --code ([\w/]+)'$", re.MULTILINE)
WALKED = sorted(
    page.parent.name for page in EXAMPLES.glob("*/README.md") if ALIAS.search(page.read_text())
)
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
NOT_HERE = ("make setup", ".venv/bin/broker up", ". try/env", "alias ")
TELL = """
invoke() { "$PYTHON" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"; }
"""


def commands(block: str) -> list[list[str]]:
    """Return the words behind each `invoke` of a block, as a shell makes them."""
    kept = [line for line in block.splitlines() if not line.startswith(NOT_HERE)]
    told = subprocess.run(
        ["bash", "-e"],
        input=TELL + "\n".join(kept),
        env={**os.environ, "PYTHON": sys.executable},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.mark.parametrize("example", WALKED)
def test_what_the_page_prints_is_printed(example: str, broker_function) -> None:
    """The commands after `. try/env`, and the block behind them."""
    blocks = BLOCK.findall((EXAMPLES / example / "README.md").read_text())
    at = next(n for n, (_, block) in enumerate(blocks) if ALIAS.search(block))
    [code] = ALIAS.findall(blocks[at][1])
    printed = []
    for handler, *options in commands(blocks[at][1]):
        given = dict(zip(options[::2], options[1::2], strict=True))
        function = broker_function(
            handler, code=ROOT / code, timeout_s=float(given.get("--timeout", 30))
        )
        printed.append(json.dumps(function(json.loads(given.get("--event", "{}")))))
    assert printed
    assert blocks[at + 1][1].splitlines() == printed


def test_every_example_is_in_the_index() -> None:
    index = (EXAMPLES / "README.md").read_text()
    for example in [path.parent.name for path in EXAMPLES.glob("*/__init__.py")]:
        assert f"]({example}/" in index, example


@pytest.mark.parametrize("page", sorted(EXAMPLES.glob("**/README.md")), ids=lambda p: p.parent.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
