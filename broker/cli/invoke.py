"""`broker invoke`: a handler in the real Lambda runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from broker.local.fleet import Fleet, Function
from broker.settings import PREFIX

FAILED = 1


class Json(click.ParamType[Any]):
    """A JSON document."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it."""
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)


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
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    function = Function(
        name=handler.replace(".", "-"),
        handler=handler,
        code=code,
        environment=variables,
        timeout_s=timeout_s,
    )
    with Fleet(start="exec", on_log=_show) as fleet:
        fleet.deploy(function)
        for _ in range(times):
            invocation = fleet.invoke(function.name, event)
            if invocation.error is not None:
                failed = invocation.error
                click.echo(f"{invocation.status}: {failed.error_type}: {failed.message}", err=True)
                raise SystemExit(FAILED)
            click.echo(json.dumps(invocation.payload))
