"""What the pages say that the plan and the simulation print is what they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.commands import group

from .pages import BLOCKS, ROOT, Block
from .shell import Shown, shown

COLUMNS = {"docs/plan.md": "110", "docs/simulate.md": "140"}
"""How wide the terminal was; what has no table is as wide as it is."""
SLOW = ("--peak",)
LEFT_OUT = "…"
NUMBER = r"\d[\d,]*(?:\.\d+)?"
ELSEWHERE = {
    "doctor": "what it prints depends on a server in trouble: tests/integration/observe makes each",
    "reap": "the same",
    "invoke": "tests/integration/test_demo.py and test_lifecycle.py invoke handlers",
    "synth": "tests/infra/test_app.py",
    "large.toml": "the day of broker.toml is the same code, in half the time",
}


def tables(page: str, number: int) -> str:
    """Return the page's block of TOML of this number."""
    return [b.text for b in BLOCKS if b.page == page and b.language == "toml"][number]


def raised(instance: str, limit: int, functions: str) -> str:
    server = f"[database]\n{instance}max_connections = {limit}\n"
    return f'{server}[broker]\nflavour = "direct"\n{functions}'


def files(page: str) -> dict[str, str]:
    """Return the files that the page's commands are given, as the page has or describes them."""
    found = {
        "broker.toml": (ROOT / "broker.toml").read_text(),
        "examples/pgbouncer/broker.toml": (ROOT / "examples/pgbouncer/broker.toml").read_text(),
    }
    if page == "docs/plan.md":
        direct = tables(page, 0)
        pods = '[[services]]\nname = "pods"\ninstances = 7\nsessions = 35\n'
        found["direct.toml"] = direct
        found["pooled.toml"] = direct.replace('"direct"', '"pgbouncer"')
        found["raise.toml"] = raised("", 100, pods)
    elif page == "docs/simulate.md":
        found["direct.toml"], found["large.toml"] = tables(page, 0), tables(page, 1)
    elif page == "docs/why-not.md":
        orders = '[[functions]]\nname = "orders"\nconcurrency = 450\n'
        found["pool.toml"] = tables(page, 0)
        found["raised.toml"] = raised('instance = "db.t4g.medium"\n', 1000, orders)
    return found


PRINTED = [
    pytest.param(
        block,
        each,
        id=f"{block}: {each.line}",
        marks=[pytest.mark.slow, pytest.mark.timeout(900)]
        if any(word in each.line for word in SLOW)
        else [],
    )
    for block in BLOCKS
    if block.first.startswith("$ ")
    for each in shown(block)
    if not any(f" {word} " in f" {each.line} " for word in ELSEWHERE)
]


def test_there_are_such_blocks() -> None:
    assert len(PRINTED) >= 10


@pytest.mark.parametrize(("block", "command"), PRINTED)
def test_a_command_prints_what_the_page_says(
    block: Block, command: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files(block.page).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    line, _, pipe = command.line.partition(" | ")
    program, *arguments = shlex.split(line)
    assert program == "broker"
    environ = {"COLUMNS": COLUMNS.get(block.page, "200")}
    result = CliRunner().invoke(group, arguments, env=environ)
    assert result.exit_code in (0, 1), result.output
    printed = through(pipe, result.output)
    for expected in told(command.output):
        assert any(alike(expected, line) for line in printed), (
            f"{block}: {expected!r} is not in what was printed:\n" + ("\n".join(printed))
        )


def alike(expected: str, printed: str) -> bool:
    """Tell whether they are the same; a simulation's figures may differ in the last digits.

    Its random numbers are the seed's, but logarithms are the processor's own.
    """
    if expected == printed:
        return True
    numbers, others = (re.findall(NUMBER, line) for line in (expected, printed))
    return (
        len(numbers) == len(others) > 3
        and re.sub(r"[ ─]*" + NUMBER, "#", expected) == re.sub(r"[ ─]*" + NUMBER, "#", printed)
        and all(
            float(one.replace(",", "")) == pytest.approx(float(other.replace(",", "")), rel=0.02)
            for one, other in zip(numbers, others, strict=True)
        )
    )


def told(output: str) -> list[str]:
    """Return the lines that must be there, without what is left out."""
    lines = [line.rstrip() for line in output.splitlines()]
    return [line for line in lines if line.strip() not in ("", LEFT_OUT)]


def through(pipe: str, output: str) -> list[str]:
    """Return the lines that the pipe lets through: all, or those that `grep -B1` does."""
    lines = [line.rstrip() for line in output.splitlines()]
    if not pipe:
        return lines
    found = re.fullmatch(r"grep -B1 (\S+)", pipe)
    assert found, pipe
    at = next(number for number, line in enumerate(lines) if found[1] in line)
    return lines[at - 1 : at + 1]
