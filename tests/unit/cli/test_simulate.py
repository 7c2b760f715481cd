"""`broker simulate`: exit codes, the table, JSON, the plots, and bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from broker.cli.commands import Commands
from broker.cli.simulate import simulate

FITS = """
[database]
max_connections = 100
[broker]
tasks = 1
[[functions]]
name = "orders"
concurrency = 300
rate = "200 /s"
mean = "20 ms"
p99 = "60 ms"
"""
DIRECT = FITS.replace("tasks = 1", 'flavour = "direct"')


@click.group(cls=Commands)
def group() -> None:
    """Show errors as the real group does."""


group.add_command(simulate)


@pytest.fixture
def fits(tmp_path: Path) -> str:
    path = tmp_path / "fits.toml"
    path.write_text(FITS)
    return str(path)


@pytest.fixture
def direct(tmp_path: Path) -> str:
    path = tmp_path / "direct.toml"
    path.write_text(DIRECT)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["simulate", *arguments])


def test_a_quiet_hour_is_a_table_and_exits_0(fits: str) -> None:
    result = run(fits, "--hours", "1", "--tick", "1 s")
    assert result.exit_code == 0, result.output
    for word in (
        "environments",
        "sessions of 100",
        "p99 ms",
        "53300",
        "no request failed",
        "00:30",
    ):
        assert word in result.stdout
    assert "refuses" not in result.stdout


def test_a_storm_that_does_not_fit_exits_1_and_says_that_the_plan_refuses_it(direct: str) -> None:
    result = run(direct, "--storm", "--tick", "10 ms", "--hours", "0.01")
    assert result.exit_code == 1
    assert "The plan refuses this deployment" in result.stdout
    assert "610 sessions at the worst moment" in result.stdout
    assert "refused with 53300 until their deadline" in result.stdout


def test_json_has_the_totals_and_every_span(direct: str) -> None:
    result = run(direct, "--storm", "--tick", "10 ms", "--hours", "0.01", "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code, told["failed"], told["fits"]) == (1, True, False)
    assert told["total"]["refusals_53300"] == told["total"]["refused"] > 0
    assert told["total"]["sessions"] == told["max_connections"] == 100
    assert sum(span["asked"] for span in told["spans"]) == told["total"]["asked"]


def test_a_throttled_burst_is_a_failure_and_is_marked_where_it_is(fits: str) -> None:
    options = ["--hours", "1", "--tick", "1 s", "--burst", "100x@00:30+1min", "--json"]
    result = run(fits, *options)
    spans = json.loads(result.stdout)["spans"]
    throttled = {int(span["at_s"]) for span in spans if span["throttled"]}
    assert result.exit_code == 1
    assert throttled - {1860} == {1800, 1815, 1830, 1845}  # the queue outlasts the burst


def test_a_seed_is_repeated_and_a_deploy_doubles_the_poolers(fits: str) -> None:
    options = [fits, "--hours", "0.5", "--tick", "1 s", "--deploy", "00:15", "--json"]
    once, again = (json.loads(run(*options, "--seed", "7").stdout) for _ in range(2))
    assert once == again
    without = json.loads(run(fits, "--hours", "0.5", "--tick", "1 s", "--json").stdout)
    assert once["total"]["sessions"] > without["total"]["sessions"]


def test_the_plots_are_one_file_that_needs_nothing_else(fits: str, tmp_path: Path) -> None:
    page = tmp_path / "simulation.html"
    result = run(fits, "--hours", "0.5", "--tick", "1 s", "--out", str(page))
    text = page.read_text()
    assert f"The plots are in {page}" in result.stderr
    for words in ("Server sessions", "the plan&#x27;s worst moment", "of answered requests"):
        assert words in text or words.replace("&#x27;", "'") in text
    assert "<script src=" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--burst", "10"], "is not a burst as 10x@12:00+5min"),
        (["--burst", "10x@12:00+5"], "has no unit"),
        (["--deploy", "25h"], "is not a time of day as 14:00"),
        (["--hours", "2", "--deploy", "14:00"], "14:00 is after the end: 2 hours from midnight"),
        (["--hours", "0"], "is not in the range"),
        (["--peak", "0.5"], "is not in the range"),
        (["--storm", "--peak", "3"], "--storm asks by itself"),
        (["--storm", "--burst", "2x@00:00+1s"], "--storm asks by itself"),
        (["--tick", "2 h", "--hours", "1"], "--tick must be"),
        (["--tick", "0 s"], "--tick must be"),
        (["--tick", "1 us"], "2,000,000 steps"),
        (["--out", "/nowhere/at/all.html"], "/nowhere/at is not a folder"),
        (["--handler", "50"], "has no unit"),
        (["other.toml"], "give one broker.toml"),
    ],
)
def test_bad_usage_exits_2_and_says_what_is_wrong(
    fits: str, options: list[str], words: str
) -> None:
    result = run(fits, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_without_a_rate_is_one_line_that_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "idle.toml"
    path.write_text('[database]\nmax_connections = 100\n[[functions]]\nname = "a"\nconcurrency = 1')
    result = run(str(path))
    [line] = result.stderr.strip().splitlines()
    assert result.exit_code == 2
    assert line.startswith(f"broker: {path}: nothing has a rate and a mean")
    assert 'rate = "50 /s"' in line
    assert run(str(tmp_path / "none.toml")).exit_code == 2
