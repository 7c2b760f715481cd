"""Page: an HTML file that needs nothing else, with plots, readable in dark and in light."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

# Lines, each with a contrast of 3 on both pages' grounds; words are always in the page's ink.
RED, BLUE, GREY = "#d9534f", "#3b82c4", "#808890"
AMBER, GREEN, VIOLET, PINK = "#c08420", "#2f9a6e", "#9a6dd7", "#c76ba3"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6673; --line: #d5dae1;
  --page: #ffffff; --bad: #b3261e; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3adba; --line: #39424e;
  --page: #14181e; --bad: #ff8a80; --good: #6dd5a0; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p { color: var(--soft); }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; vertical-align: baseline; }
th:first-child { text-align: left; font-weight: 400; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
td.bad, p.bad { color: var(--bad); font-weight: 600; }
td.good, p.good { color: var(--good); font-weight: 600; }
figure { margin: 1.75rem 0 0; } figcaption { font-weight: 600; }
figcaption span { display: block; color: var(--soft); font-weight: 400; }
.plot { min-height: 300px; }
.plot text { fill: var(--ink) !important; }
.plot .xgrid, .plot .ygrid, .plot .zerolinelayer path { stroke: var(--line) !important; }
.plot .annotation .bg, .plot .hoverlayer .bg { fill: var(--page) !important;
  fill-opacity: 1 !important; stroke: var(--line) !important; }
.plot .annotation .bg { stroke: none !important; }
.plot .hovertext path { fill: var(--page) !important; stroke: var(--line) !important; }
@media (max-width: 34rem) { table { font-size: .875rem; } th, td { padding: .4rem .3rem; } }
"""
FINE_DECADES = 2  # a logarithmic axis of more has a tick at each power of ten alone
HEIGHT_PX = 300
EDGES_PX = {"l": 48, "r": 30, "t": 26, "b": 42}


def write_page(path: Path, *, title: str, heading: str, body: str) -> None:
    """Write the page to `path`; `body` is HTML."""
    path.write_text(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f"<h1>{escape(heading)}</h1>{body}</body></html>\n",
        encoding="utf-8",
    )


def plot(figure: go.Figure, caption: str, note: str = "") -> str:
    """Return the figure as HTML, as all of ours look, with words above it.

    Colours of words and grids are the style's, which knows dark from light; plotly's own do not.
    """
    several = len(figure.data) > 1
    figure.update_layout(
        height=HEIGHT_PX,
        margin=EDGES_PX,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=several,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    figure.update_xaxes(ticklabelstandoff=6, title_font_size=13)
    options: dict[str, Any] = {"responsive": True, "displayModeBar": False}
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=options)
    more = f"<span>{escape(note)}</span>" if note else ""
    return (
        f"<figure><figcaption>{escape(caption)}{more}</figcaption>"
        f"<div class='plot'>{html}</div></figure>"
    )


def add_limit(figure: go.Figure, value: float, words: str, shade: str, dash: str) -> None:
    """Draw a line across the figure at the value, with words on it."""
    figure.add_hline(
        y=value, line={"color": shade, "dash": dash},
        annotation={"text": words, "xshift": 4, "yshift": 2}, annotation_position="top left",
    )  # fmt: skip


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis of milliseconds from low to high, with ticks that say their unit.

    Plotly's own write every second number smaller, and mix 1000 with 10k.
    """
    from_power, to_power = floor(log10(low)), ceil(log10(high))
    steps = (1, 3) if to_power - from_power <= FINE_DECADES else (1,)
    values = [n * 10.0**power for power in range(from_power, to_power + 1) for n in steps]
    return {"type": "log", "tickvals": values, "ticktext": [duration(value) for value in values]}


def duration(ms: float) -> str:
    """Return milliseconds in words, with three digits that count: 0.5 ms, 20 ms, 7.28 s."""
    value, unit = (ms / 1000, "s") if ms >= 1000 else (ms, "ms")
    return f"{float(f'{value:.3g}'):,g} {unit}"
