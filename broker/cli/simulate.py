"""`broker simulate`: a day of the whole fleet under its plan, or its worst minute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broker.cli.plan import EXTRA, FILE, refuse_extra
from broker.plan import read
from broker.simulate import Burst, Outcome, Traffic
from broker.simulate import simulate as run_simulation
from broker.simulate.moment import read_burst, read_duration, read_moment
from broker.simulate.table import table
from broker.simulate.traffic import DAY_S, STORM_S
from broker.simulate.verdict import verdict

FAILED = 1
MOST_HOURS = 7 * 24
MOST_TICKS = 2_000_000  # minutes to wait
WIDEST = 200  # columns that the table may have, however narrow the terminal is
DEFAULTS = Traffic()


class Read(click.ParamType[Any]):
    """What `reader` makes of the text."""

    def __init__(self, name: str, reader: Callable[[str], Any]) -> None:
        self.name = name
        self._reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it, or say what is wrong with it."""
        if not isinstance(value, str):
            return value
        try:
            return self._reader(value.strip())
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


DURATION = Read("duration", read_duration)


@click.command(context_settings=EXTRA)
@FILE
@click.option(
    "--hours",
    type=click.FloatRange(0, MOST_HOURS, min_open=True),
    help="How long, from midnight on.  [default: 24; a minute of a storm]",
)
@click.option(
    "--peak",
    type=click.FloatRange(1, 50),
    default=1.0,
    show_default=True,
    help="A day whose busiest moment, 14:00, has so many times the mean traffic.",
)
@click.option(
    "--burst",
    "bursts",
    type=Read("burst", read_burst),
    multiple=True,
    metavar="10x@12:00+5min",
    help="So many times the traffic, from then on for so long. May be given again.",
)
@click.option(
    "--deploy",
    "deploys",
    type=Read("time", read_moment),
    multiple=True,
    metavar="14:00",
    help="Roll out functions and poolers at that time. May be given again.",
)
@click.option(
    "--storm",
    is_flag=True,
    help="The worst case: every environment that concurrency permits asks at once, and again as "
    "soon as it is answered.",
)
@click.option(
    "--handler",
    type=DURATION,
    default="0 ms",
    show_default=True,
    help="What an invocation takes besides its transaction: it keeps its environment for longer.",
)
@click.option(
    "--cold-start",
    type=DURATION,
    default=f"{DEFAULTS.cold_start_s * 1000:g} ms",
    show_default=True,
    help="What a new environment takes before its first transaction.",
)
@click.option(
    "--keep",
    type=DURATION,
    default=f"{DEFAULTS.kept_s / 60:g} min",
    show_default=True,
    help="How long Lambda keeps an idle environment; AWS does not say.",
)
@click.option("--tick", type=DURATION, help="The step of time.  [default: 10 ms to 1 s]")
@click.option("--seed", type=click.IntRange(0), default=DEFAULTS.seed, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every span of time as JSON.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE.html",
    help="Write the plots there.",
)
def simulate(file: Path, *, as_json: bool, out: Path | None, **options: Any) -> None:
    """Simulate the deployment's traffic: sessions, waiting, throttles and 53300s over time.

    Each function and service is asked at its rate in the file, which is the mean of the day. All
    else is the plan's: pools, limits, timeouts. A deployment that the plan refuses is simulated
    too, and shows what would happen.

    Exits 1 if a request failed or the server refused a session.
    """
    refuse_extra()
    if out is not None and not out.parent.is_dir():
        raise click.UsageError(f"--out: {out.parent} is not a folder; make it first")
    outcome = run(file, traffic_of(**options))
    if out is not None:
        from broker.simulate.report import write_report  # late: plotly takes half a second

        write_report(outcome, out, verdict(outcome))
        click.echo(f"The plots are in {out}", err=True)
    if as_json:
        click.echo(json.dumps(told(outcome), indent=2))
    else:
        show(outcome)
    if outcome.failed:
        raise SystemExit(FAILED)


def traffic_of(
    *,
    hours: float | None,
    peak: float,
    bursts: tuple[Burst, ...],
    deploys: tuple[float, ...],
    storm: bool,
    handler: float,
    cold_start: float,
    keep: float,
    tick: float | None,
    seed: int,
) -> Traffic:
    """Return the options as traffic; what contradicts itself is bad usage."""
    duration_s = hours * 3600 if hours is not None else STORM_S if storm else DAY_S
    if storm and (bursts or deploys or peak > 1):
        raise click.UsageError("--storm asks by itself: leave out --peak, --burst and --deploy")
    for at_s in (*deploys, *(burst.at_s for burst in bursts)):
        if at_s >= duration_s:
            raise click.UsageError(
                f"{int(at_s // 3600):02}:{int(at_s // 60 % 60):02} is after the end: "
                f"{duration_s / 3600:g} hours from midnight; give more --hours"
            )
    if tick is not None and not duration_s / MOST_TICKS <= tick <= duration_s:
        raise click.UsageError(
            f"--tick must be between {duration_s / MOST_TICKS * 1000:g} ms, which makes "
            f"{MOST_TICKS:,} steps, and the whole"
        )
    return Traffic(
        duration_s=duration_s,
        peak=peak,
        bursts=bursts,
        deploys_s=deploys,
        storm=storm,
        handler_s=handler,
        cold_start_s=cold_start,
        kept_s=keep,
        tick_s=tick,
        seed=seed,
    )


def run(file: Path, traffic: Traffic) -> Outcome:
    """Simulate, and show how far it is."""
    deployment = read(file)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(f"simulating {deployment.file}", total=1.0)

        def say(share: float) -> None:
            progress.update(task, completed=share)

        return run_simulation(deployment, traffic, say)


def show(outcome: Outcome) -> None:
    """Print the table, and the verdict below it."""
    console, shown = Console(highlight=False), table(outcome)
    console.width = max(
        console.width,
        console.measure(shown, options=console.options.update(max_width=WIDEST)).maximum,
    )
    console.print(shown)
    for line in verdict(outcome):
        console.print(line, markup=False, soft_wrap=True)


def told(outcome: Outcome) -> dict[str, Any]:
    """Return it as JSON has it."""
    form = outcome.shape
    return {
        "failed": outcome.failed,
        "fits": not form.refusals,
        "refusals": list(form.refusals),
        "max_connections": form.max_connections,
        "sessions_at_worst": form.sessions_at_worst,
        "tick_s": outcome.tick_s,
        "unanswered": outcome.unanswered,
        "total": outcome.total.told(),
        "spans": [span.told() for span in outcome.spans],
    }
