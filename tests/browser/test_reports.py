"""`broker simulate --out`, and the demo's report of a broken promise, as a browser shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from broker.cli.simulate import simulate
from broker.local.acts import Act
from broker.local.gauge import Sample
from broker.local.report import write_report
from tests.browser.chromium import SCHEMES, WIDTHS, Scheme, lines_drawn, opened, unreadable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
FITS = (ROOT / "broker.toml").read_text()


@dataclass(frozen=True)
class Report:
    """A report that was written, and what it must show."""

    path: Path
    lines: int


def simulated(path: Path, deployment: str, *options: str) -> Path:
    """Write the plots of a simulation of this deployment."""
    file = path.with_name("broker.toml")
    file.write_text(deployment)
    done = CliRunner().invoke(simulate, [str(file), "--out", str(path), *options])
    assert path.exists(), done.output
    return path


def broken(path: Path) -> Path:
    """Write the report of an act whose promise was broken, with answers as they never were."""
    act = Act(
        name="With the broker",
        clients=2000,
        requests=20_000,
        failures={"53300": 9_999, "OutcomeUnknown": 1},
        latencies_ms=[0.4 + n / 7 for n in range(9_999)],
        samples=[Sample(n / 10, n % 120) for n in range(600)],
        peak_sessions=119,
        session_limit=30,
        acknowledged=10_000,
        found=9_999,
        broken=["10000 rows were acknowledged, and 9999 are in the table"],
    )
    write_report([act], path)
    return path


@pytest.fixture(scope="module", params=["hours", "a burst", "a storm", "broken"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Write a report of each kind."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    if request.param == "hours":
        return Report(
            simulated(path, FITS, "--hours", "2", "--tick", "10 s", "--deploy", "01:00"), lines=9
        )
    if request.param == "a burst":
        burst = ["--hours", "0.2", "--tick", "1 s", "--burst", "10x@00:04+2min"]
        return Report(simulated(path, FITS, *burst), lines=10)
    if request.param == "a storm":
        direct = FITS.replace('flavour = "pgbouncer"', 'flavour = "direct"')
        return Report(simulated(path, direct, "--storm", "--tick", "100 ms"), lines=10)
    return Report(broken(path), lines=2)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_draws_its_plots_and_is_readable(
    report: Report, browser: Browser, scheme: Scheme, width: int
) -> None:
    wrong: list[str] = []
    with opened(browser, report.path.as_uri(), scheme, width, wrong) as page:
        assert lines_drawn(page) == report.lines
        wrong += unreadable(page)
    assert wrong == []


def test_a_page_that_is_open_follows_the_change_from_light_to_dark(
    report: Report, browser: Browser
) -> None:
    wrong: list[str] = []
    with opened(browser, report.path.as_uri(), "light", WIDTHS[-1], wrong) as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) != before
        wrong += unreadable(page)
    assert wrong == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_plot_says_under_the_pointer_is_readable(
    report: Report, browser: Browser, scheme: Scheme
) -> None:
    wrong: list[str] = []
    with opened(browser, report.path.as_uri(), scheme, WIDTHS[-1], wrong) as page:
        page.set_viewport_size({"width": WIDTHS[-1], "height": 2400})  # so that it need not scroll
        page.locator(".nsewdrag").first.hover()
        page.locator(".hoverlayer text").first.wait_for()
        words = page.locator(".hoverlayer text").all_inner_texts()
        wrong += [each for each in unreadable(page) if "contrast" in each or "small" in each]
        assert page.locator(".hoverlayer text").all_inner_texts() == words, "it went away"
    assert wrong == []
