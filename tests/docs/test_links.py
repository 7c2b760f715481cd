"""No link of the documentation is dead: not on GitHub, where the files are read as they are."""

from __future__ import annotations

import os.path
import re

import pytest

from .pages import PAGES, ROOT, Page

ELSEWHERE = re.compile(r"https?:|mailto:")
BY_NAME = {page.name: page for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Page) -> None:
    for link in page.links:
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        there = page.path.parent / path if path else page.path
        assert there.exists(), f"{page.name}: {link}: there is no {path}"
        name = os.path.relpath(there, ROOT)
        assert not name.startswith(".."), f"{page.name}: {link}: leads out of the repository"
        if anchor:
            assert name in BY_NAME, f"{page.name}: {link}: anchors are known of pages alone"
            assert anchor in BY_NAME[name].anchors, f"{page.name}: {link}: has no such heading"


def test_every_picture_is_shown_and_says_what_it_shows() -> None:
    shown = {
        path: alt
        for page in PAGES
        for alt, path in re.findall(r"!\[([^\]]*)\]\((pictures/[^)]+)\)", page.text)
    }
    assert {f"pictures/{path.name}" for path in (ROOT / "docs/pictures").iterdir()} == set(shown)
    for path, alt in shown.items():
        assert len(alt.split()) >= 5, f"{path}: {alt!r} tells a blind reader nothing"
