"""`broker invoke`: a handler in the real Lambda runtime."""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path
from typing import Any

import click

from broker.errors import ConfigurationError, UsageError
from broker.local.fleet import Fleet, Function
from broker.local.invocation import FunctionError
from broker.settings import PREFIX

FAILED = 1
SOURCE_FIRST = "Set them in this shell first: `. FILE`, the FILE of `broker up --env-file FILE`"


class Json(click.ParamType[Any]):
    """A JSON document."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it."""
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}{_if_file(value)}", param, ctx)


def _if_file(text: str) -> str:
    try:
        is_file = Path(text).is_file()
    except OSError:  # too long for a name
        is_file = False
    return f'; a file\'s content is given by "$(cat {shlex.quote(text)})"' if is_file else ""


def _show(_: str, line: str) -> None:
    """Print what the function wrote; the runtime puts a carriage return for each line's end."""
    click.echo(line.replace("\r", "\n"), err=True)


@click.command()
@click.argument("handler", metavar="MODULE.FUNCTION")
@click.option("--event", type=Json(), default="{}", show_default=True, help="The event, as JSON.")
@click.option(
    "--times", type=click.IntRange(1), default=1, show_default=True, help="How often to invoke it."
)
@click.option(
    "--code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The folder that the module is in; the current one by default.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=30.0,
    show_default=True,
    help="The function's time-out in seconds; it is killed at that.",
)
def invoke(handler: str, *, event: Any, times: int, code: Path, timeout_s: float) -> None:
    """Invoke a handler in the real Lambda runtime, with this shell's BROKER_ variables.

    Prints what it logs and returns. Exits 1 if it fails.
    """
    _refuse_folder(handler)
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    function = Function(
        name=handler.replace(".", "-"),
        handler=handler,
        code=code,
        environment=variables,
        timeout_s=timeout_s,
    )
    _refuse_missing(handler, function.code)
    with Fleet(start="exec", on_log=_show) as fleet:
        fleet.deploy(function)
        for _ in range(times):
            invocation = fleet.invoke(function.name, event)
            if invocation.error is not None:
                failed = invocation.error
                click.echo(f"{invocation.status}: {failed.error_type}: {failed.message}", err=True)
                if _lacks_variables(failed):
                    click.echo(SOURCE_FIRST, err=True)
                raise SystemExit(FAILED)
            click.echo(json.dumps(invocation.payload))


def _refuse_folder(handler: str) -> None:
    """Refuse a path in the handler's place."""
    folder, slash, name = handler.rpartition("/")
    if slash:
        raise UsageError(
            f"{handler!r}: a handler is module.function, and its folder goes to --code: "
            f"broker invoke {name} --code {shlex.quote(folder or slash)}"
        )


def _refuse_missing(handler: str, folder: Path) -> None:
    """Refuse a module that is neither in the folder nor installed; nothing is imported for that."""
    module = handler.rpartition(".")[0]
    if not (_is_in(folder, module) or _is_installed(module)):
        path = module.replace(".", "/")
        raise UsageError(
            f"no module {module} in {folder}: there is neither {path}.py nor {path}/; "
            "name its folder with --code"
        )


def _is_in(folder: Path, module: str) -> bool:
    path = folder.joinpath(*module.split("."))
    return path.is_dir() or any(Path(f"{path}{suffix}").is_file() for suffix in all_suffixes())


def _is_installed(module: str) -> bool:
    elsewhere = [entry for entry in sys.path if entry]  # "" would be the current folder
    return PathFinder.find_spec(module.partition(".")[0], elsewhere) is not None


def _lacks_variables(failed: FunctionError) -> bool:
    return (
        failed.error_type == ConfigurationError.__name__
        and "missing from the environment" in failed.message
    )
