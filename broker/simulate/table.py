"""The simulation as a table on the terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.table import Table

from broker.simulate.failure import Failure
from broker.simulate.moment import show_moment
from broker.simulate.timeline import Outcome, Span

ROWS = 24
USUAL = (Failure.THROTTLED, Failure.TIMED_OUT)  # always shown; the others where there are any
HEADS = {
    Failure.CAPPED: "capped",
    Failure.NO_CLIENT_SLOT: "no client slot",
    Failure.THROTTLED: "throttled",
    Failure.TIMED_OUT: "timed out",
}

Cell = Callable[[Span], str]


def table(outcome: Outcome) -> Table:
    """Return it: gauges at their largest, rates on average."""
    columns = _columns(outcome)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in columns:
        made.add_column(head, justify="right", no_wrap=True)
    for span in outcome.rows(ROWS):
        bad = span.failures or span.refusals
        made.add_row(*(cell(span) for cell in columns.values()), style="red" if bad else "")
    return made


def _columns(outcome: Outcome) -> dict[str, Cell]:
    total, limit = outcome.total, outcome.shape.max_connections
    duration_s = total.for_s
    columns: dict[str, Cell] = {
        "from": lambda span: show_moment(span.at_s, duration_s),
        "asked /s": lambda span: f"{span.asked / span.for_s:,.0f}",
        "environments": lambda span: f"{span.peak.environments:,}",
        f"sessions of {limit:,}": lambda span: f"{span.peak.sessions:,}",
        "active": lambda span: f"{span.peak.active:,}",
        "waiting": lambda span: f"{span.peak.waiting:,}",
        "p50 ms": lambda span: _ms(span.quantile_ms(0.5)),
        "p99 ms": lambda span: _ms(span.quantile_ms(0.99)),
    }
    for failure, head in HEADS.items():
        if failure in USUAL or total.failed[failure]:
            columns[head] = _count_of(failure)
    columns["53300"] = lambda span: _count(span.refusals)
    return columns


def _count_of(failure: Failure) -> Cell:
    return lambda span: _count(span.failed[failure])


def _count(value: int) -> str:
    return f"{value:,}" if value else "-"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
