"""Each example's README: what it says is printed is what is printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES

ROOT = EXAMPLES.parent
WALKED = sorted(
    page.parent.name for page in EXAMPLES.glob("*/README.md") if "invoke " in page.read_text()
)
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
CAT = re.compile(r"\$\(cat ([\w/.-]+)\)")


def commands(block: str) -> list[list[str]]:
    """Return the words behind each `invoke` of a block, as the shell makes them."""
    split = (shlex.split(line, comments=True) for line in block.splitlines())
    return [
        [CAT.sub(lambda found: (ROOT / found[1]).read_text(), word) for word in words[1:]]
        for words in split
        if words[0] == "invoke"
    ]


@pytest.mark.parametrize("example", WALKED)
def test_what_the_page_prints_is_printed(example: str, broker_function) -> None:
    """The first block of commands after `. try/env`, and the block behind it."""
    text = (EXAMPLES / example / "README.md").read_text()
    blocks = BLOCK.findall(text)
    at = next(n for n, (_, block) in enumerate(blocks) if ". try/env" in block)
    [code] = re.findall(r"alias invoke='.venv/bin/broker invoke --code ([\w/]+)'", blocks[at][1])
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
