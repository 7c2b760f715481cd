"""The demo's verdict: exit 1 and words where a promise was broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli import demo as demo_command
from broker.local.acts import Act, _broken
from broker.local.gauge import Sample
from broker.local.report import write_report

GOOD = Act(
    name="With the broker",
    clients=2000,
    requests=3,
    failures={},
    latencies_ms=[1.0, 2.0, 3.0],
    samples=[Sample(0.0, 0), Sample(1.0, 25)],
    peak_sessions=25,
    session_limit=30,
    acknowledged=3,
    found=3,
    broken=[],
)
BAD = replace(GOOD, found=2, broken=["3 rows were acknowledged, and 2 are in the table"])


@pytest.mark.parametrize(("act", "code"), [(GOOD, 0), (BAD, 1)])
def test_it_exits_1_exactly_when_a_promise_was_broken(
    act: Act, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo_command, "play", lambda _: [act])
    options = ["--json", "--report", str(tmp_path / "r.html")]
    result = CliRunner().invoke(demo_command.demo, options)
    assert result.exit_code == code
    assert json.loads(result.stdout)["kept"] is (code == 0)


def test_the_table_says_what_was_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_command, "play", lambda _: [BAD])
    result = CliRunner().invoke(demo_command.demo, ["--report", str(tmp_path / "r.html")])
    assert "3 rows were acknowledged, and 2 are in the table" in result.stdout


@pytest.mark.parametrize(
    ("failures", "peak", "acknowledged", "found"),
    [({"53300": 1}, 30, 5, 5), ({}, 31, 5, 5), ({}, 30, 5, 4), ({}, 30, 5, 6)],
)
def test_a_failure_a_session_too_many_and_a_row_lost_or_doubled_break_a_promise(
    failures: dict[str, int], peak: int, acknowledged: int, found: int
) -> None:
    assert _broken(failures, peak, 30, acknowledged, found)
    assert not _broken({}, 30, 30, 5, 5)


def test_the_report_shows_what_was_broken_and_escapes_it(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_report([replace(BAD, broken=["<b>lost</b>"])], path)
    html = path.read_text()
    assert "&lt;b&gt;lost&lt;/b&gt;" in html
    assert "Every promise was kept" not in html
