"""`broker demo`: see 53300 happen, and the broker prevent it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from broker.local.acts import ACTS, Act
from broker.local.demo_plan import demo_plan
from broker.local.report import write_report
from broker.local.stack import Stack

BROKEN = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="Where to write the report.",
)
def demo(*, as_json: bool, report: Path) -> None:
    """See 53300 happen, and the broker prevent it, on a real PostgreSQL and PgBouncer.

    Takes less than 3 minutes. Exits 1 if a promise was broken.
    """
    errors = Console(stderr=True)
    with (
        Progress(
            TextColumn("[bold]{task.fields[act]}[/]"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=errors,
        ) as progress,
    ):
        acts = play(progress)
    write_report(acts, report)
    kept = not any(act.broken for act in acts)
    if as_json:
        click.echo(json.dumps({"kept": kept, "acts": [act.numbers() for act in acts]}))
    else:
        show(acts, Console())
    errors.print(f"The report is in {report}")
    if not kept:
        raise SystemExit(BROKEN)


def play(progress: Progress) -> list[Act]:
    """Play the acts on a stack of their own, and return what came of them."""
    acts: list[Act] = []
    task = progress.add_task("starting PostgreSQL and PgBouncer", act="Set-up", total=1.0)
    with Stack() as stack:
        progress.update(task, completed=1.0, description="PostgreSQL and PgBouncer are up")
        for number, act in enumerate(ACTS, start=1):
            task = progress.add_task("", act=f"Act {number} ", total=1.0)

            def say(what: str, share: float, task: object = task) -> None:
                progress.update(task, description=what, completed=share)  # type: ignore[arg-type]

            acts.append(act(stack, say))
            progress.update(task, completed=1.0)
    return acts


def show(acts: Sequence[Act], console: Console) -> None:
    """Print the table, an act a column, and below it what was broken."""
    title = f"PostgreSQL with max_connections = {demo_plan()['max_connections'].value}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for act in acts:
        table.add_column(act.name, justify="right")
    columns = [act.summary() for act in acts]
    for head in columns[0]:
        table.add_row(head, *(column[head] for column in columns))
    console.print(table)
    for act in acts:
        for promise in act.broken:
            console.print(f"[red]broken[/] in {act.name!r}: {promise}")
    if not any(act.broken for act in acts):
        console.print("[green]Every promise was kept.[/]")
