"""The demo's report: one HTML file that needs nothing else, readable in dark and in light."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from pathlib import Path

import plotly.graph_objects as go

from broker.local.acts import Act
from broker.local.demo_plan import demo_plan
from broker.page import BLUE, GREY, RED, plot, styled, write_page

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
            plot(_sessions(act)),
            plot(_latencies(act)),
        ]
    write_page(
        path,
        title="lambda-pg-broker: the demo's report",
        heading="Thousands of Lambda clients, one small PostgreSQL",
        body="".join(body),
    )


def _table(acts: Sequence[Act]) -> str:
    head = "".join(f"<th>{escape(act.name)}</th>" for act in acts)
    columns = [act.summary() for act in acts]
    rows = []
    for name in columns[0]:
        cells = "".join(
            f"<td{_shade(name, column[name])}>{column[name]}</td>" for column in columns
        )
        rows.append(f"<tr><th>{name}</th>{cells}</tr>")
    broken = [f"{act.name}: {promise}" for act in acts for promise in act.broken]
    verdict = "".join(f"<p class='bad'>Broken: {escape(promise)}</p>" for promise in broken)
    limit = demo_plan().whole("max_connections")
    return (
        f"<p>PostgreSQL with max_connections = {limit}. Latencies are those of answered "
        "requests, cold starts and waiting included.</p>"
        f"<div class='table'><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"{verdict or '<p class=good>Every promise was kept.</p>'}"
    )


def _shade(name: str, cell: str) -> str:
    if not name.startswith("failures"):
        return ""
    return f" class='{'good' if cell == 'none' else 'bad'}'"


def _sessions(act: Act) -> go.Figure:
    figure, limit = go.Figure(), demo_plan().whole("max_connections")
    times = [sample.at_s for sample in act.samples]
    sessions = [sample.sessions for sample in act.samples]
    figure.add_scatter(x=times, y=sessions, mode="lines", line={"color": BLUE})
    figure.add_hline(
        y=limit, line={"color": RED, "dash": "dash"},
        annotation={"text": f"max_connections = {limit}", "font": {"color": RED}},
        annotation_position="top left",
    )  # fmt: skip
    if act.session_limit < limit:
        figure.add_hline(
            y=act.session_limit, line={"color": BLUE, "dash": "dot"},
            annotation={"text": f"the pool: {act.session_limit}", "font": {"color": BLUE}},
            annotation_position="top left",
        )  # fmt: skip
    figure.update_xaxes(title="seconds")
    figure.update_yaxes(range=[0, limit * 1.15])
    return styled(figure, "Server sessions over time")


def _latencies(act: Act) -> go.Figure:
    figure = go.Figure()
    values = sorted(act.latencies_ms)
    shares = [100 * (n + 1) / len(values) for n in range(len(values))]
    step = max(1, len(values) // 500)  # a curve needs no more points than pixels
    figure.add_scatter(
        x=values[::step], y=shares[::step], name="answered within", mode="lines",
        line={"color": BLUE},
    )  # fmt: skip
    for percent, value, y, anchor in (
        (50, act.p50_ms, 50, "left"),
        (99, act.p99_ms, 4, "right"),
    ):
        line = {"color": GREY, "dash": "dot"}
        figure.add_shape(type="line", x0=value, x1=value, y0=0, y1=1, yref="y domain", line=line)
        label = f" p{percent} {value:,.0f} ms "
        x = log10(value)  # on a log axis an annotation's x is the exponent
        figure.add_annotation(x=x, y=y, text=label, showarrow=False, xanchor=anchor)
    figure.update_xaxes(title="milliseconds", type="log", dtick=1)
    figure.update_yaxes(title="% of requests", range=[0, 103])
    return styled(figure, "Latency distribution")
