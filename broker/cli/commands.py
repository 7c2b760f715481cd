"""The group of all commands."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from broker import BrokerError, UsageError, __version__

MODULES = {
    "demo": "broker.cli.demo",
    "doctor": "broker.cli.doctor",
    "invoke": "broker.cli.invoke",
    "measure": "broker.cli.measure",
    "plan": "broker.cli.plan",
    "reap": "broker.cli.reap",
    "render": "broker.cli.render",
    "simulate": "broker.cli.simulate",
    "up": "broker.cli.up",
}
"""Where each command is; loaded when it is asked for, since the demo's plots take a second."""

INTERRUPTED = 130  # as a shell reports SIGINT
ENDINGS = ("SIGTERM", "SIGHUP")  # `kill`, and a terminal that closes; Windows has no SIGHUP


class Commands(click.Group):
    """Loads a command at its first use; shows our own errors as one line, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands' names."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command, or None where there is none of this name."""
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(import_module(MODULES[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokerError as error:
            click.echo(f"broker: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            click.echo("broker: interrupted; nothing is left running", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lambda-pg-broker")
def group() -> None:
    """Run PostgreSQL under AWS Lambda without 53300."""
    for number in _endings():
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has SIGHUP
            signal.signal(number, _end)


def _endings() -> list[signal.Signals]:
    return [each for each in signal.Signals if each.name in ENDINGS]


def _end(signum: int, _: object) -> NoReturn:
    for number in _endings():  # a terminal may send two: the second one must not cut this short
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which children would inherit
    sys.exit(128 + signum)  # unwinds the `with` blocks that stop the servers
