"""`broker up`: the embedded stack, for development."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import click

from broker.local.stack import DATABASE, Stack
from broker.settings import Flavour


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database's files here, and find them again next time.",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the variables to this file too, readable by you alone.",
)
@click.option(
    "--direct", is_flag=True, help="Let the variables go past PgBouncer, to PostgreSQL itself."
)
def up(*, directory: Path | None, env_file: Path | None, direct: bool) -> None:
    """Run PostgreSQL and PgBouncer on loopback until Ctrl-C, and print what a handler needs."""
    click.echo("starting PostgreSQL and PgBouncer …", err=True)
    with Stack(directory=directory) as stack:
        variables = stack.variables(Flavour.DIRECT if direct else Flavour.PGBOUNCER)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        click.echo("\n".join(lines))
        if env_file:
            env_file.touch(mode=0o600)
            env_file.chmod(0o600)
            env_file.write_text("\n".join(lines) + "\n")
        click.echo(
            f"\nReady: database {DATABASE!r}, PgBouncer on port {stack.pgbouncer.port}, "
            f"PostgreSQL on port {stack.postgres.port}.\n"
            "Run a handler with these variables: broker invoke app.handler --event '{}'\n"
            "Ctrl-C ends it.",
            err=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("\nstopping …", err=True)
        finally:
            if env_file:
                env_file.unlink(missing_ok=True)
