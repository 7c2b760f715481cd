"""Every command of the pages exists, with the options that it is given."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from benchmarks.__main__ import _parser as benchmarks_parser
from broker.cli.commands import MODULES, group

from .pages import BLOCKS, ROOT, Block
from .shell import commands, shown

OTHERS_PROGRAMS = {
    "aws": "needs an account; the stack is deployed into an emulated one by `make deploy-test`",
    "cdk": "run against the emulator by tests/deployment",
    "docker": "not there in most places; tests/infra/image lays the image out without it",
    "export": "the shell's",
    ".": "the shell's",
    "alias": "the shell's",
    "invoke": "the alias of `broker invoke`, which tests/examples calls",
    "grep": "the system's",
}
SCRIPTS = [block for block in BLOCKS if block.language == "sh" or block.first.startswith("$ ")]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_every_command_of_a_block_exists_with_its_options(block: Block) -> None:
    for line in shown(block):
        for words in commands(line.line):
            refuse_unknown(words, f"{block}: {line.line}")


def refuse_unknown(words: list[str], where: str) -> None:
    program, *arguments = words
    match Path(program).name, arguments:
        case "broker", [name, *options]:
            assert name in MODULES, where
            parse(name, options, where)
        case "make", _:
            for target in arguments:
                assert target in TARGETS or "=" in target, f"{where}: make {target}"
        case "python", ["-m", "benchmarks", *options]:
            benchmarks_parser().parse_args(options)
        case "python", ["-m", "tests.chaos", *options]:
            known = (ROOT / "tests/chaos/__main__.py").read_text()
            assert all(f'"{each}"' in known for each in options if each[0] == "-"), where
        case "python", ["-m", "pytest", *paths]:
            assert all((ROOT / path).exists() for path in paths), where
        case _:
            assert program in OTHERS_PROGRAMS, f"{where}: nobody knows {program}"
    for argument in arguments:
        for module in re.findall(r"^python -m ([\w.]+)", argument):  # cdk's --app
            assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), where


def parse(name: str, options: list[str], where: str) -> None:
    """Let click read the options; nothing is run."""
    with click.Context(group) as above:
        command = group.get_command(above, name)
        assert command is not None
        try:
            command.make_context(name, list(options), parent=above)
        except click.UsageError as error:
            if "does not exist" not in error.message:  # files are the reader's own
                pytest.fail(f"{where}: {error.format_message()}")


@pytest.mark.parametrize(
    "line",
    [
        "broker nonsense",
        "broker plan --nonsense",
        "broker reap dsn --at-most none",
        "make nonsense",
        "frobnicate",
        "make check && broker simulate broker.toml --peek 3",
    ],
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        for words in commands(line):
            refuse_unknown(words, line)
