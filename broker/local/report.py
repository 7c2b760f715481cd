"""The demo's report: one HTML file that needs nothing else, readable in dark and in light."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from pathlib import Path

import plotly.graph_objects as go

from broker.local.acts import Act
from broker.local.demo_plan import demo_plan
from broker.page import BLUE, GREY, RED, add_limit, duration, log_ticks, plot, write_page

LEADS = {
    "Without a broker": "Each environment keeps a plain connection of its own. PostgreSQL takes "
    "what max_connections allows, and refuses the others with 53300.",
    "With the broker": "Each client is an environment with the library. PgBouncer shares its pool "
    "among them, transaction by transaction.",
    "As Lambda runs it": "Real Lambda runtimes, frozen between requests and longer than every "
    "idle limit, and a rolling deploy with two generations at once.",
}


def write_report(acts: Sequence[Act], path: Path) -> None:
    """Write the report of these acts to `path`."""
    body = [_table(acts)]
    for act in acts:
        body += [
            f"<h2>{escape(act.name)}</h2>",
            f"<p>{escape(LEADS.get(act.name, ''))}</p>",
            plot(_sessions(act), "Server sessions over time"),
            plot(_latencies(act), "Latency distribution", _percentiles(act)),
        ]
    write_page(
        path,
        title="lambda-pg-broker: the demo's report",
        heading="Thousands of Lambda clients, one small PostgreSQL",
        body="".join(body),
    )


def _table(acts: Sequence[Act]) -> str:
    head = "".join(f"<th scope='col'>{escape(act.name)}</th>" for act in acts)
    columns = [act.summary() for act in acts]
    rows = []
    for name in columns[0]:
        cells = "".join(
            f"<td{_shade(name, column[name])}>{column[name]}</td>" for column in columns
        )
        rows.append(f"<tr><th scope='row'>{name}</th>{cells}</tr>")
    broken = [f"{act.name}: {promise}" for act in acts for promise in act.broken]
    verdict = "".join(f"<p class='bad'>Broken: {escape(promise)}</p>" for promise in broken)
    limit = demo_plan().whole("max_connections")
    return (
        f"<p>PostgreSQL with max_connections = {limit}. Latencies are those of answered "
        "requests, cold starts and waiting included.</p>"
        f"<div class='table'><table><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"{verdict or '<p class=good>Every promise was kept.</p>'}"
    )


def _shade(name: str, cell: str) -> str:
    if not name.startswith("failures"):
        return ""
    return f" class='{'good' if cell == 'none' else 'bad'}'"


def _percentiles(act: Act) -> str:
    return f"p50 {duration(act.p50_ms)}, p99 {duration(act.p99_ms)}"


def _sessions(act: Act) -> go.Figure:
    figure, limit = go.Figure(), demo_plan().whole("max_connections")
    times = [sample.at_s for sample in act.samples]
    sessions = [sample.sessions for sample in act.samples]
    figure.add_scatter(x=times, y=sessions, mode="lines", line={"color": BLUE})
    add_limit(figure, limit, f"max_connections = {limit}", RED, "dash")
    if act.session_limit < limit:
        add_limit(figure, act.session_limit, f"the pool: {act.session_limit}", GREY, "dot")
    figure.update_xaxes(title="seconds")
    figure.update_yaxes(range=[0, limit * 1.2])
    return figure


def _latencies(act: Act) -> go.Figure:
    figure = go.Figure()
    values = sorted(act.latencies_ms)
    shares = [100 * (n + 1) / len(values) for n in range(len(values))]
    step = max(1, len(values) // 500)  # a curve needs no more points than pixels
    figure.add_scatter(
        x=values[::step], y=shares[::step], name="answered within", mode="lines",
        line={"color": BLUE},
    )  # fmt: skip
    for percent, value, anchor in ((50, act.p50_ms, "right"), (99, act.p99_ms, "left")):
        line = {"color": GREY, "dash": "dot"}
        figure.add_shape(type="line", x0=value, x1=value, y0=0, y1=1, yref="y domain", line=line)
        figure.add_annotation(
            x=log10(value),  # on a log axis an annotation's x is the exponent
            y=1, yref="y domain", yanchor="bottom", xanchor=anchor, text=f"p{percent}",
            showarrow=False,
        )  # fmt: skip
    figure.update_xaxes(log_ticks(values[0], values[-1]) | {"title": "answered within"})
    figure.update_yaxes(range=[0, 103], ticksuffix=" %")
    return figure
