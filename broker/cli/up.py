"""`broker up`: the embedded stack, for development."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path

import click

from broker.local.stack import Stack
from broker.settings import Flavour


def _must_be_new(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.exists():
        raise click.BadParameter(f"{path} exists, and would be overwritten: name a new file")
    if path is not None and not path.resolve().parent.is_dir():
        raise click.BadParameter(f"the folder {path.resolve().parent} does not exist")
    return path


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database's files here, and find them again next time.",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_must_be_new,
    help="Write the variables to this new file too, readable by you alone; it goes at the end.",
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
            env_file.touch(mode=0o600, exist_ok=False)
            env_file.write_text("\n".join(lines) + "\n")
        words = "\n".join(lines).split()
        source = f". {shlex.quote(str(env_file.resolve()))} && " if env_file else ""
        command = Path(sys.argv[0]).resolve() if len(sys.argv[0]) > 2 else "broker"
        click.echo(
            f"\nReady: database {stack.pair.database!r}, PgBouncer on port {stack.pgbouncer.port}, "
            f"PostgreSQL on port {stack.postgres.port}.\n"
            f"In another terminal: {source}{command} invoke app.handler --event '{{}}'\n"
            "Ctrl-C ends it.",
            err=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("\nstopping …", err=True)
        finally:
            if env_file and env_file.exists() and env_file.read_text().split() == words:
                env_file.unlink()
