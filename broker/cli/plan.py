"""`broker plan`: every number of a deployment, or why it does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broker.plan import DoesNotFit, Number, Plan, make_plan, read

if TYPE_CHECKING:
    from broker.plan.drift import Drift

REFUSED = 1
NARROWEST = 110  # columns of the table: below it the reasons are a word a line
DEFAULT_FILE = Path("broker.toml")


class File(click.ParamType[Path]):
    """A deployment's file; an address is refused unseen, since it may hold a password."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return its path."""
        if "://" in str(value):
            self.fail("this is an address, not a file: --check takes it", param, ctx)
        return Path(value)


FILE = click.argument("file", metavar="[BROKER.TOML]", type=File(), default=DEFAULT_FILE)
EXTRA = {"allow_extra_args": True}  # refused below: click would repeat them, password and all


def refuse_extra() -> None:
    """Refuse more than one file, without repeating what it was."""
    if click.get_current_context().args:
        raise click.UsageError("give one broker.toml; an address goes after --check")


@click.command(context_settings=EXTRA)
@FILE
@click.option("--json", "as_json", is_flag=True, help="Print the plan, or the refusal, as JSON.")
@click.option("--explain", metavar="NUMBER", help="Say where this number comes from.")
@click.option("--check", metavar="DSN", help="Compare with this live server; exit 1 if it drifts.")
def plan(file: Path, *, as_json: bool, explain: str | None, check: str | None) -> None:
    """Work out every number of the deployment, or say why it does not fit.

    Exits 1 if it does not fit, or if the live server drifts from it. A password may be in
    PGPASSWORD instead of the DSN.
    """
    refuse_extra()
    if explain is not None and check is not None:
        raise click.UsageError("give --explain or --check, not both")
    try:
        made = make_plan(read(file))
    except DoesNotFit as refusal:
        click.echo(json.dumps(refused(refusal), indent=2) if as_json else str(refusal))
        raise SystemExit(REFUSED) from None
    if explain is not None:
        show_explanation(made, explain, as_json=as_json)
    elif check is not None:
        show_drift(made, check, as_json=as_json)
    elif as_json:
        click.echo(json.dumps(planned(made), indent=2))
    else:
        show(made)


def refused(refusal: DoesNotFit) -> dict[str, Any]:
    """Return the refusal as JSON has it."""
    return {
        "fits": False,
        "excesses": [
            {
                "limit": each.limit.value,
                "needed": each.needed,
                "available": each.available,
                "sentence": each.sentence,
            }
            for each in refusal.excesses
        ],
        "ways": [
            {"changes": [change.sentence for change in way.changes], "outcome": way.outcome}
            for way in refusal.ways
        ],
    }


def planned(made: Plan) -> dict[str, Any]:
    """Return the plan as JSON has it."""
    return {
        "fits": True,
        "numbers": {number.name: told(number) for number in made.numbers},
        "notes": list(made.notes),
    }


def told(number: Number) -> dict[str, Any]:
    """Return a number as JSON has it."""
    return {
        "value": number.value,
        "unit": number.unit,
        "how": number.how,
        "inputs": list(number.inputs),
        "source": number.source,
    }


def show(made: Plan) -> None:
    """Print the table, and the notes below it."""
    from rich import box  # late: --json and --explain do without it
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{made.deployment.file} fits", title_justify="left")
    table.add_column("number", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("how", overflow="fold")
    for number in made.numbers:
        table.add_row(escape(number.name), escape(str(number)), escape(number.how))
    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    console.print(table)
    for note in made.notes:
        console.print(f"Note: {escape(note)}")


def show_explanation(made: Plan, name: str, *, as_json: bool) -> None:
    """Print the number and all that it rests on, the deeper the further to the right."""
    found = made.explain(name)
    if as_json:
        click.echo(json.dumps({number.name: told(number) for _, number in found}, indent=2))
        return
    for depth, number in found:
        source = f"  [{number.source}]" if number.source else ""
        click.echo(f"{'  ' * depth}{number.name} = {number}: {number.how}{source}")


def show_drift(made: Plan, dsn: str, *, as_json: bool) -> None:
    """Print what the live server has and the plan has not; exits 1 if there is anything."""
    from broker.cli.dsn import opened  # late: only --check talks to a server
    from broker.plan.drift import compare
    from broker.plan.live import look

    with opened(dsn) as run:
        live = look(run, made.deployment.middle.pairs)
    drifts: Sequence[Drift] = compare(made, live)
    if as_json:
        click.echo(
            json.dumps({"equal": not drifts, "drifts": [each.told() for each in drifts]}, indent=2)
        )
    else:
        for each in drifts:
            click.echo(str(each))
        if not drifts:
            click.echo("The server is as planned.")
    if drifts:
        raise SystemExit(REFUSED)
