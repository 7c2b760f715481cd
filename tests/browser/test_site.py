"""The documentation's site as a browser shows it: every page, and every look of a listing."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import DESK, PHONE, SCHEMES, Scheme, opened, unreadable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
PAGES_AT_LEAST = 20
LISTINGS = "source"
"""Where the files are that the pages link to, a hundred and more, all in one look."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Site:
    """A site that is served on loopback."""

    url: str
    pages: list[str]
    listings: list[str]


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Build the site as `make docs` does, and serve it; not at all where there is no browser."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            listings = sorted((folder / LISTINGS).rglob("*.html"))
            pages = sorted(set(folder.rglob("*.html")) - set(listings))
            worth = of_a_new_look(listings, pages)
            yield Site(
                f"http://127.0.0.1:{server.server_port}",
                [path.relative_to(folder).as_posix() for path in pages],
                [path.relative_to(folder).as_posix() for path in worth],
            )
        finally:
            server.shutdown()
            serving.join()


def of_a_new_look(listings: list[Path], pages: list[Path]) -> list[Path]:
    """Return the listings with a class of CSS that no page and no listing before them has."""
    seen = {look for page in pages for look in looks(page)}
    found = []
    for listing in listings:
        new = looks(listing) - seen
        if new:
            found.append(listing)
            seen |= new
    return found


def looks(page: Path) -> set[str]:
    """Return the classes of CSS that a page's elements have."""
    attributes = re.findall(r'class="([^"]*)"', page.read_text(encoding="utf-8"))
    return {look for attribute in attributes for look in attribute.split()}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_page_of_the_documentation_is_readable(
    site: Site, browser: Browser, scheme: Scheme, width: int
) -> None:
    """Code, tables and pictures may scroll by themselves; the page may not."""
    wrong = {}
    for name in site.pages + site.listings:
        complaints: list[str] = []
        with opened(browser, f"{site.url}/{name}", scheme, width, complaints) as page:
            complaints += unreadable(page, code_may_scroll=True)
        if complaints:
            wrong[name] = complaints
    assert len(site.pages) > PAGES_AT_LEAST
    assert site.listings
    assert wrong == {}
