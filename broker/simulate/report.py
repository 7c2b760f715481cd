"""The simulation's report: what was counted, as plots over time in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from broker.page import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    PINK,
    RED,
    VIOLET,
    add_limit,
    log_ticks,
    plot,
    write_page,
)  # fmt: skip
from broker.simulate.failure import Failure
from broker.simulate.timeline import Outcome, Span

SHADES = {
    Failure.THROTTLED: AMBER,
    Failure.REFUSED: RED,
    Failure.CAPPED: VIOLET,
    Failure.NO_CLIENT_SLOT: PINK,
    Failure.TIMED_OUT: BLUE,
}
MIDNIGHT = datetime(2000, 1, 1, tzinfo=UTC)  # the plots show times of day


def write_report(outcome: Outcome, path: Path, head: Sequence[str]) -> None:
    """Write the report to `path`; the lines of `head` stand above the plots."""
    lines = [f"<p class='{_shade(outcome)}'>{escape(head[0])}</p>"]
    lines += [f"<p>{escape(line)}</p>" for line in head[1:]]
    plots = [
        plot(_sessions(outcome), "Server sessions"),
        plot(_environments(outcome), "Environments"),
        plot(_latencies(outcome), "Latency", "of answered requests"),
        plot(_waiting(outcome), "Waiting", "for a session or a connection, at most"),
        plot(_requests(outcome), "Requests a second"),
    ]
    write_page(
        path,
        title="lambda-pg-broker: the simulation's report",
        heading=f"{outcome.shape.deployment.file}, simulated",
        body="".join(lines + plots),
    )


def _shade(outcome: Outcome) -> str:
    return "bad" if outcome.failed else "good"


def _times(spans: Sequence[Span]) -> list[datetime]:
    return [MIDNIGHT + timedelta(seconds=span.at_s) for span in spans]


def _add(figure: go.Figure, outcome: Outcome, values: Sequence[float | None], name: str,
         shade: str, **more: object) -> None:  # fmt: skip
    figure.add_scatter(
        x=_times(outcome.spans), y=list(values), name=name, mode="lines",
        line={"color": shade, "shape": "hv"}, **more,
    )  # fmt: skip


def _over_time(figure: go.Figure, outcome: Outcome) -> go.Figure:
    day = outcome.total.for_s >= 3600
    figure.update_xaxes(tickformat="%H:%M" if day else "%M:%S", hoverformat="%H:%M:%S")
    figure.update_yaxes(rangemode="tozero", tickformat=",")
    figure.update_layout(hovermode="x unified")
    return figure


def _sessions(outcome: Outcome) -> go.Figure:
    figure, form = go.Figure(), outcome.shape
    _add(figure, outcome, [s.peak.sessions for s in outcome.spans], "open, with reserves", BLUE)
    _add(figure, outcome, [s.peak.active for s in outcome.spans], "active", GREEN)
    limit = form.max_connections
    add_limit(figure, limit, f"max_connections: {limit:,}", RED, "dash")
    if form.sessions_at_worst < form.max_connections:
        worst = form.sessions_at_worst
        add_limit(figure, worst, f"the plan's worst moment: {worst:,}", GREY, "dot")
    return _over_time(figure, outcome)


def _environments(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    spans = outcome.spans
    _add(figure, outcome, [span.peak.environments for span in spans], "environments", BLUE)
    _add(figure, outcome, [span.peak.connections for span in spans], "their connections", GREEN)
    _add(figure, outcome, [span.cold_starts for span in spans], "cold starts", AMBER)
    return _over_time(figure, outcome)


def _latencies(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    _add(figure, outcome, [span.quantile_ms(0.5) for span in outcome.spans], "p50", BLUE)
    _add(figure, outcome, [span.quantile_ms(0.99) for span in outcome.spans], "p99", AMBER)
    figure = _over_time(figure, outcome)
    known = [value for trace in figure.data for value in trace.y if value]
    if known:
        figure.update_yaxes(log_ticks(min(known), max(known)) | {"rangemode": "normal"})
    return figure


def _waiting(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    _add(figure, outcome, [s.peak.waiting for s in outcome.spans], "waiting", BLUE, fill="tozeroy")
    return _over_time(figure, outcome)


def _requests(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    _add(figure, outcome, [s.answered / s.for_s for s in outcome.spans], "answered", GREEN)
    total = outcome.total
    for failure, shade in SHADES.items():
        if total.failed[failure]:
            rates = [span.failed[failure] / span.for_s for span in outcome.spans]
            _add(figure, outcome, rates, failure.value.replace("_", " "), shade)
    if total.refusals and not total.failed[Failure.REFUSED]:
        rates = [span.refusals / span.for_s for span in outcome.spans]
        _add(figure, outcome, rates, "53300 at the pooler", RED)
    return _over_time(figure, outcome)
