"""Every metric and variable of the monitor and the reaper is in docs/doctor.md, and no other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from broker.observe.access import Access
from broker.observe.finding import Finding, Kind
from broker.observe.snapshot import Database
from lambdas.monitor import figures
from lambdas.reaper.run import METRICS
from tests.unit.observe.samples import backend, snapshot

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/doctor.md").read_text().partition("## As functions")[2]


def test_every_metric_is_documented_and_nothing_else_is() -> None:
    counted = (Database("appdb", -1, 1, 1, 1),)
    now = replace(snapshot(backend(2)), databases=counted)
    finding = Finding(Kind.REFUSED, "", (), "")
    lines = [
        *figures.lines("db", now, now, [finding]),
        *figures.refused("db", Access.FULL, finding),
    ]
    emitted = {name for line in lines for name in line.figures} | set(METRICS.values())
    table = PAGE.partition("| metric |")[2]
    documented = set(re.findall(r"`([A-Z]\w+)`", table)) - {"AT_MOST"}
    assert documented == emitted


def test_every_variable_is_documented_and_nothing_else_is() -> None:
    read = set()
    for file in [*(ROOT / "lambdas/monitor").glob("*.py"), *(ROOT / "lambdas/reaper").glob("*.py")]:
        read |= set(re.findall(r'environ(?:\.get\(|, )"([A-Z_]+)"', file.read_text()))
    table = PAGE.partition("| variable |")[2].partition("Metrics are")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert documented == read
    assert len(read) == 7
