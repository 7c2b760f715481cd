"""The report: what was done to the world, fault by fault, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from tests.chaos.campaign import Result
from tests.chaos.inspection import Breach
from tests.chaos.ledger import Told, Wrong

MIXED = "mixed at random"
_COLUMNS = (
    "injected",
    "invocations",
    "survived invisibly",
    "typed error",
    "unknown",
    "not reported",
    "lost",
    "doubled",
    "other breaches",
)
_TOLD = {
    Told.ACKNOWLEDGED: "survived invisibly",
    Told.REFUSED: "typed error",
    Told.UNKNOWN: "unknown",
    Told.UNREPORTED: "not reported",
}


def counts(results: Sequence[Result]) -> dict[str, Counter[str]]:
    """Return each fault's numbers, by the table's columns; mixtures together."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        alone = len(result.round.faults) == 1
        row = table.setdefault(result.round.name if alone else MIXED, Counter())
        row["injected"] += sum(result.injected.values())
        row["invocations"] += len(result.outcomes)
        row.update(_TOLD[outcome.told] for outcome in result.outcomes)
        row.update(_column(finding.what) for finding in result.findings)
    return table


def _column(what: Breach | Wrong) -> str:
    return str(what) if what in (Wrong.LOST, Wrong.DOUBLED) else "other breaches"


def render(results: Sequence[Result], seed: int) -> Table:
    """Return the table that is printed at the end."""
    rows = counts(results)
    rows["all"] = sum(rows.values(), Counter())
    table = Table(title=f"seed {seed}", title_justify="left")
    table.add_column("fault")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:,}" for column in _COLUMNS), end_section=name == MIXED)
    return table
