"""The look at a page finds what somebody could not read, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import DESK, PHONE, opened, unreadable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOOD = """
<p>Plain words, <b>bold</b> ones, and <code style="background: #eee; color: #222">code</code>.</p>
<p style="background: #333; color: #fff">White on dark <span style="opacity: .9">and faded</span>.
<p id="slow" style="opacity: .1; transition: opacity 60s">Words that are on their way.</p>
<script>slow.offsetWidth; slow.style.opacity = 1</script>
<p style="display: none; color: white">Hidden words may have any colour.</p>
<svg width="300" height="60"><rect width="300" height="60" fill="#222"/>
<text x="10" y="20" fill="#fff">in a drawing</text>
<text x="150" y="20" fill="#fff">beside</text></svg>
"""
BAD = {
    "<p style='color: #999'>grey</p>": "“grey” has a contrast of 2.85",
    "<p style='color: #444; opacity: .4'>faded</p>": "“faded” has a contrast of",
    "<div style='background: #333'><p>dark on dark</p></div>": "“dark on dark” has a contrast of",
    "<p style='font-size: 11px'>tiny</p>": "“tiny” is 11.0 px small",
    "<div style='width: 3000px'>broad</div>": "the page is",
    "<p style='width: 60px; overflow: hidden; white-space: nowrap'>too long here</p>": "is cut off",
    "<p style='width: 60px; overflow: auto; white-space: nowrap'>too long for it</p>": "sideways",
    "<svg width=60 height=20><text x=1 y=15>a label that is too long</text></svg>":
        "“a label that is too long” is cut off at the drawing's edge",
    "<svg width=90 height=20><text x=1 y=15>one</text><text x=9 y=15>two</text></svg>":
        "“two” lies on “one”",
    "<svg width=90 height=20><rect width=90 height=20 fill=#333 /><text x=1 y=15>x</text></svg>":
        "“x” has a contrast of",
    "<svg width=90 height=20 viewBox='0 0 180 40'><text x=1 y=30 font-size=16>x</text></svg>":
        "“x” is 8.0 px small",
    "<svg class=shapelayer width=90 height=20><path d='M0 9H90' stroke=#ccc /></svg><p>x":
        "a line in rgb(204, 204, 204) has a contrast of 1.61",
    "": "there is no text",
    "<p>x</p><script>console.error('so it is')</script>": "console: so it is",
    "<p>x</p><script>throw new Error('thrown')</script>": "error: thrown",
    "<p>x</p><img src='missing.png' alt=''>": "net::ERR_FILE_NOT_FOUND",
    "<p>x</p><img src='http://127.0.0.1:9/x.png' alt=''>": "from elsewhere",
}  # fmt: skip


def looked_at(browser: Browser, folder: Path, body: str, width: int = DESK) -> list[str]:
    page_file = folder / "page.html"
    page_file.write_text(
        f"<!doctype html><link rel=icon href='data:,'><meta charset=utf-8><body>{body}"
    )
    wrong: list[str] = []
    with opened(browser, page_file.as_uri(), "light", width, wrong) as page:
        wrong += unreadable(page)
    return wrong


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_that_can_be_read_is_not_complained_of(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    assert looked_at(browser, tmp_path, GOOD, width) == []


@pytest.mark.parametrize(("body", "complaint"), BAD.items())
def test_what_cannot_be_read_is_named(
    browser: Browser, tmp_path: Path, body: str, complaint: str
) -> None:
    assert complaint in "\n".join(looked_at(browser, tmp_path, body))
