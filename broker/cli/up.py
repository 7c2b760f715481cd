"""`broker up`: the embedded stack, for development."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from broker.local.stack import Stack
from broker.settings import Flavour


def _must_be_new(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.exists():
        raise click.BadParameter(
            f"{path} exists, and would be overwritten: name a new file, "
            "or delete it if no `broker up` runs"
        )
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
        variables["DSN"] = stack.dsn
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        click.echo("\n".join(lines))
        with _written(env_file, "\n".join(lines) + "\n"):
            click.echo(f"\n{_ready(stack, env_file)}", err=True)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                click.echo("\nstopping …", err=True)


@contextmanager
def _written(path: Path | None, text: str) -> Iterator[None]:
    """Keep the text there meanwhile; a file that somebody changed stays."""
    if path is None:
        yield
        return
    path.touch(mode=0o600, exist_ok=False)
    try:
        path.write_text(text)
        yield
    finally:
        if path.exists() and path.read_text().split() == text.split():
            path.unlink()


def _ready(stack: Stack, env_file: Path | None) -> str:
    source = f". {shlex.quote(str(env_file.resolve()))} && " if env_file else ""
    command = Path(sys.argv[0]).resolve() if len(sys.argv[0]) > 2 else "broker"
    return (
        f"Ready: database {stack.pair.database!r}, PgBouncer on port {stack.pgbouncer.port}, "
        f"PostgreSQL on port {stack.postgres.port}.\n"
        f"In another terminal: {source}{command} invoke app.handler --code FOLDER --event '{{}}'\n"
        "Ctrl-C ends it."
    )
