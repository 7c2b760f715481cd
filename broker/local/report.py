"""The demo's report: one HTML file that needs nothing else, readable in dark and in light."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from broker.local.acts import Act
from broker.local.demo_plan import demo_plan

RED, BLUE, GREY = "#d9534f", "#3b82c4", "#808890"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6673; --line: #d5dae1;
  --page: #ffffff; --bad: #b3261e; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3adba; --line: #39424e;
  --page: #14181e; --bad: #ff8a80; --good: #6dd5a0; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p { color: var(--soft); }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; font-weight: 400; white-space: normal; }
td.bad, p.bad { color: var(--bad); font-weight: 600; }
td.good, p.good { color: var(--good); font-weight: 600; }
.plot { min-height: 320px; }
"""
RECOLOUR = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function recolour() {
  const ink = dark.matches ? "#e6eaf0" : "#1c2430", line = dark.matches ? "#39424e" : "#d5dae1";
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(plot, {"font.color": ink, "xaxis.gridcolor": line, "yaxis.gridcolor": line,
      "xaxis.linecolor": line, "yaxis.linecolor": line});
  }
}
dark.addEventListener("change", recolour);
recolour();
"""
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
            _plot(_sessions(act)),
            _plot(_latencies(act)),
        ]
    path.write_text(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"
        f"<title>lambda-pg-broker: the demo's report</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        "<h1>Thousands of Lambda clients, one small PostgreSQL</h1>"
        f"{''.join(body)}<script>{RECOLOUR}</script></body></html>\n",
        encoding="utf-8",
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
    return _styled(figure, "Server sessions over time")


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
    return _styled(figure, "Latency distribution")


def _styled(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(
        title={"text": title, "font": {"size": 15}, "x": 0, "xref": "paper"},
        height=320,
        margin={"l": 45, "r": 10, "t": 50, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": GREY},
        showlegend=False,
    )
    return figure


def _plot(figure: go.Figure) -> str:
    options: dict[str, Any] = {"responsive": True, "displayModeBar": False}
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=options)
    return f"<div class='plot'>{html}</div>"
