"""Every metric and variable of the exporter is in docs/exporter.md, and no other."""

from __future__ import annotations

from dataclasses import replace

from pooler import directory, exporting
from pooler.look import Counters, Look
from pooler.minute import Minute

from tests.infra.image.dockerfile import CONTEXT

PAGE = (CONTEXT.parents[1] / "docs/exporter.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """Return the cells of a table's rows by the name in the first one."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    return {each[0].strip("`"): each[1:] for each in cells}


def test_every_metric_is_documented_with_its_unit_and_nothing_else_is() -> None:
    minute = Minute()
    look = Look(1, 1, 1.0, 1, 1, 1.0, Counters(0, 0, 0, 0))
    minute.add({1: look})
    minute.add({1: replace(look, counters=Counters(1, 1, 1, 1))})
    emitted = {name: unit for name, (_, unit) in minute.end().items()} | {"LoginsFailed": "Count"}
    assert {name: cells[0] for name, cells in rows("metric").items()} == emitted


def test_every_variable_is_documented_with_its_default() -> None:
    told = {name: cells[0].strip("`") for name, cells in rows("variable").items()}
    assert told == {
        exporting.POOLER: "required",
        exporting.NAMESPACE: exporting.DEFAULT_NAMESPACE,
        exporting.PERIOD: f"{exporting.DEFAULT_PERIOD_S:g}",
        directory.SHARED_VARIABLE: directory.SHARED_DEFAULT,
    }
