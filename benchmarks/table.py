"""A section as a table on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.figures import Cell, Ratio, Section

_STYLES = {True: "green", False: "bold red", None: ""}


def show(console: Console, section: Section) -> None:
    """Print it."""
    table = Table(title=section.title, title_justify="left", title_style="bold")
    for number, name in enumerate(section.header):
        table.add_column(name, justify="right" if number else "left")
    for line in section.lines:
        table.add_row(line.name, *map(_text, line.cells))
    console.print(table)
    for note in section.notes:
        console.print(Text(note, style="dim"))
    console.print()


def _text(cell: Cell) -> Text:
    if cell is None:
        return Text("")
    return Text(str(cell), style=_STYLES[cell.met] if isinstance(cell, Ratio) else "")
