"""Page: an HTML file that needs nothing else, with plots, readable in dark and in light."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

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


def write_page(path: Path, *, title: str, heading: str, body: str) -> None:
    """Write the page to `path`; `body` is HTML."""
    path.write_text(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f"<h1>{escape(heading)}</h1>{body}<script>{RECOLOUR}</script></body></html>\n",
        encoding="utf-8",
    )


def styled(figure: go.Figure, title: str, *, legend: bool = False) -> go.Figure:
    """Return the figure as all of ours look."""
    figure.update_layout(
        title={"text": title, "font": {"size": 15}, "x": 0, "xref": "paper"},
        height=320,
        margin={"l": 45, "r": 10, "t": 50, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": GREY},
        showlegend=legend,
    )
    return figure


def plot(figure: go.Figure) -> str:
    """Return the figure as HTML."""
    options: dict[str, Any] = {"responsive": True, "displayModeBar": False}
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=options)
    return f"<div class='plot'>{html}</div>"
