"""The group of all commands."""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

import click

from broker import BrokerError, UsageError, __version__
from broker.cli.demo import demo
from broker.cli.invoke import invoke
from broker.cli.up import up

INTERRUPTED = 130  # as a shell reports SIGINT


class Commands(click.Group):
    """Shows our own errors as one line, and never a traceback for them."""

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
    signal.signal(signal.SIGTERM, _end)


def _end(signum: int, _: object) -> NoReturn:
    sys.exit(128 + signum)  # unwinds the `with` blocks that stop the servers


group.add_command(demo)
group.add_command(up)
group.add_command(invoke)
