"""A page opened in headless Chromium, and everything in it that somebody could not read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
PHONE, DESK = 390, 1280  # px
SMALLEST_PX = 12  # of text; phones show the page at its own size

Scheme = Literal["dark", "light"]
SCHEMES: tuple[Scheme, ...] = ("dark", "light")
WIDTHS = (PHONE, DESK)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium that scripts/chromium.py got; skip, saying why, where there is none."""
    program = Path(sys.prefix) / "chromium"
    if not program.exists():
        why_not = program.with_name("chromium.missing")
        reason = (
            why_not.read_text().strip()
            if why_not.exists()
            else "no Chromium was looked for: run `make test`"
        )
        if os.environ.get("CI"):  # a proof that is left out there is left out for good
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright  # late: only these tests have it

    with sync_playwright() as playwright:
        # Root, as in a container, cannot have Chromium's sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, scheme: Scheme, width: int, wrong: list[str]
) -> Iterator[Page]:
    """Open the page; what it complains of, and what it lacks, is added to `wrong`."""
    site = url.rsplit("/", 1)[0] if url.startswith("file:") else "/".join(url.split("/")[:3])
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on(
        "console",
        lambda told: (
            wrong.append(f"console: {told.text}") if told.type in ("error", "warning") else None
        ),
    )
    page.on(
        "request",
        lambda asked: (
            wrong.append(f"needs {asked.url} from elsewhere")
            if not asked.url.startswith((site, "data:", "blob:"))
            else None
        ),
    )
    page.on("requestfailed", lambda asked: wrong.append(f"{asked.url}: {asked.failure}"))
    page.on(
        "response",
        lambda answer: (
            wrong.append(f"{answer.url}: {answer.status}") if answer.status >= 400 else None
        ),
    )
    try:
        page.goto(url, wait_until="load")
        page.evaluate("document.fonts.ready")
        yield page
    finally:
        page.close()


def unreadable(page: Page, *, code_may_scroll: bool = False) -> list[str]:
    """Return what somebody could not read on the page as it is now, a sentence each."""
    told = page.evaluate(LOOK, {"smallestPx": SMALLEST_PX, "codeMayScroll": code_may_scroll})
    return [str(each) for each in told]


def lines_drawn(page: Page) -> int:
    """Return how many lines the plots show, once every plot is there."""
    page.wait_for_function(
        """() => document.querySelectorAll(".js-plotly-plot .xaxislayer-above .xtick").length
                 && [...document.querySelectorAll(".plotly-graph-div")].every(
                      (plot) => plot.classList.contains("js-plotly-plot"))"""
    )
    return page.locator(".scatterlayer .trace path.js-line").count()
