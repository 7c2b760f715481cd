"""Whether a command would be understood by the program that it names: `broker`, or AWS' CLI.

AWS' CLI makes its commands out of botocore's models, but for `logs tail`, which is its own.
"""

from __future__ import annotations

import functools
import re
import shlex

import botocore.session  # type: ignore[import-untyped]
import click
from botocore import xform_name

from broker.cli.commands import group

OWN = {("logs", "tail"): {"--since"}}  # a group's name, and these options
OF_ALL = {"--query", "--output"}
INNER = re.compile(r"\$\(([^()]*)\)")


def parts(command: str) -> list[list[str]]:
    """Return the command's words, and those of the commands whose output it takes."""
    inner = INNER.findall(command)
    return [shlex.split(each) for each in (*inner, INNER.sub("NAME", command))]


def check(words: list[str]) -> None:
    """Fail where the program would not understand it; nothing is run."""
    program, *rest = words
    if program == "broker":
        _broker(rest)
    else:
        assert program == "aws", program
        _aws(rest)


def _broker(words: list[str]) -> None:
    context = click.Context(group, info_name="broker")
    name, command, rest = group.resolve_command(context, words)
    assert name is not None
    assert command is not None
    command.make_context(name, rest, parent=context)


def _aws(words: list[str]) -> None:
    service, operation, *rest = words
    if (service, operation) in OWN:
        group, *rest = rest
        assert not group.startswith("-")
        allowed = OWN[service, operation]
    else:
        allowed = OF_ALL | _options(service, operation)
    for option in rest[::2]:
        assert option in allowed, (words, sorted(allowed))
    assert len(rest) % 2 == 0, words


@functools.cache
def _options(service: str, operation: str) -> frozenset[str]:
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    members = model.operation_model(names[operation]).input_shape.members
    return frozenset(f"--{xform_name(member, '-')}" for member in members)
