"""The site: built strictly, out of this machine alone, with every page in its navigation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .pages import DOCS, ROOT, Page

WAYS_OUT = {"http": "127.0.0.1:1", "https": "127.0.0.1:1"}
"""Proxies that nobody serves: whoever asks the network is refused."""


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does, without a network.

    Not with --quiet, which drops the warnings that `strict` would count.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--clean"]
    environ = {f"{scheme}_proxy": address for scheme, address in WAYS_OUT.items()}
    return subprocess.run(
        [*command, "--config-file", str(config), "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, **environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


class Html(HTMLParser):
    """What a page has: its ids, what it links to, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source", "video"):
            self.loaded.append(given.get("src", ""))
        if tag == "link" and given.get("rel") != "canonical":
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.fixture(scope="module")
def html(site: Path) -> dict[str, Html]:
    """Return each page of the site by its path."""
    return {
        path.relative_to(site).as_posix(): Html(path.read_text("utf-8"))
        for path in site.rglob("*.html")
    }


def test_no_link_and_no_anchor_of_the_site_is_dead(site: Path, html: dict[str, Html]) -> None:
    checked = 0
    for name, page in html.items():
        if name == "404.html":
            continue  # it is served anywhere, so its links are the server's root's
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https", "mailto"), f"{name}: {link}"
                continue
            there = (site / name).parent / unquote(parts.path) if parts.path else site / name
            path = Path(os.path.normpath(there))
            path = path / "index.html" if path.is_dir() else path
            assert path.is_file(), f"{name}: {link}"
            if parts.fragment and path.suffix == ".html":
                ids = html[path.relative_to(site).as_posix()].ids
                assert unquote(parts.fragment) in ids, f"{name}: {link}"
            checked += 1
    assert checked > 500


def test_no_page_has_an_id_twice(html: dict[str, Html]) -> None:
    for name, page in html.items():
        twice = {each for each in page.ids if page.ids.count(each) > 1}
        assert not twice, f"{name}: {twice}"


def test_nothing_is_loaded_from_elsewhere(site: Path, html: dict[str, Html]) -> None:
    for name, page in html.items():
        for source in page.loaded:
            assert not re.match(r"(https?:)?//", source), f"{name}: {source}"
    for style in site.rglob("*.css"):
        for source in re.findall(r"url\(([^)]*)\)|@import ([^;]*)", style.read_text("utf-8")):
            assert "//" not in re.sub(r"data:.*", "", "".join(source)), style.name


def test_every_page_of_docs_is_in_the_navigation(html: dict[str, Html], site: Path) -> None:
    index = (site / "index.html").read_text("utf-8")
    navigation = set(re.findall(r'href="([^"#]+)" class="md-nav__link', index))
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS).with_suffix(".html").as_posix()
        assert name in navigation or name == "index.html", f"{name} is in no navigation"
    generated = {"api.html", "commands.html", "settings.html", "promises.html", "changelog.html"}
    assert generated <= navigation


def test_a_page_s_pictures_are_in_it_and_have_its_colours(site: Path) -> None:
    text = (site / "concepts.html").read_text("utf-8")
    concepts = Page("docs/concepts.md").text.count("](pictures/")
    pictures = re.findall(r'<svg role="img" aria-label="[^"]+"[^>]*>.*?</svg>', text, re.DOTALL)
    assert len(pictures) == concepts >= 7
    for picture in pictures:
        assert "prefers-color-scheme" not in picture, "the page says which colours, not the system"
    assert ".svg" not in text


def test_no_list_became_a_paragraph(site: Path) -> None:
    """As it does without an empty line before it, which GitHub does not ask for."""
    for path in site.glob("*.html"):
        for paragraph in re.findall(r"<p>(.*?)</p>", path.read_text("utf-8"), re.DOTALL):
            assert not re.search(r"^(- |\d+\. |\| )", paragraph, re.MULTILINE), (
                f"{path.name}: {paragraph}"
            )


def broken(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what goes onto a page, and what the build must say of it."""
    yield "[gone](gone.md)", "gone.md"
    yield "[no heading](page.md#nowhere)", "nowhere"
    yield "[out](../gone.py)", "gone.py"


@pytest.mark.parametrize(("text", "said"), list(broken(Path())))
def test_a_dead_link_ends_the_build(text: str, said: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# A page\n\n{text}\n")
    (docs / "page.md").write_text("# Another\n")
    config = tmp_path / "mkdocs.yml"
    ours = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = "nav:\n  - Start: index.md\n  - Other: page.md\n"
    for made in ("api", "commands", "settings", "promises", "changelog"):
        nav += f"  - {made}: {made}.md\n"
    config.write_text(
        ours.partition("nav:\n  - Start")[0].replace("scripts/", f"{ROOT}/scripts/") + nav
    )
    done = build(config, tmp_path / "site")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
