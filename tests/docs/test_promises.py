"""Each promise of the README leads to a test that is there, and the page of promises shows it."""

from __future__ import annotations

import ast
import re

import pytest

from .pages import ROOT

TITLE = "## Promises, and the tests that hold them"
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"\[([^\]]+)\]\(([^)#]+)\)")


def rows() -> list[tuple[str, str, str]]:
    section = (ROOT / "README.md").read_text().partition(TITLE)[2].partition("\n## ")[0]
    return [(number, promise, tests) for number, promise, tests in ROW.findall(section)]


def names_in(path: str) -> set[str]:
    """Return the names of the file's tests."""
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def untrue(tests: str) -> list[str]:
    """Return what is wrong with the tests that a row names."""
    wrong = []
    linked = TEST.findall(tests)
    if not linked:
        wrong.append("it names no test")
    for name, path in linked:
        if not (ROOT / path).is_file():
            wrong.append(f"there is no {path}")
        elif not names_in(path):
            wrong.append(f"{path} has no test")
        elif "::" in name and name.rpartition("::")[2] not in names_in(path):
            wrong.append(f"{path} has no {name}")
    return wrong


def test_the_promises_are_numbered_without_a_gap() -> None:
    assert [int(number) for number, _, _ in rows()] == list(range(1, len(rows()) + 1))
    assert len(rows()) >= 8


@pytest.mark.parametrize(("number", "promise", "tests"), rows())
def test_each_promise_leads_to_a_test_that_is_there(number: str, promise: str, tests: str) -> None:
    assert not untrue(tests), f"promise {number}: {promise}"


@pytest.mark.parametrize(
    "tests",
    [
        "none",
        "[test_gone.py](tests/unit/test_gone.py)",
        "[wait.py](tests/wait.py)",
        "[test_imports.py::test_gone](tests/unit/test_imports.py)",
    ],
)
def test_a_promise_without_one_is_found(tests: str) -> None:
    assert untrue(tests)
