"""Links out of docs/: what they lead to becomes a page of the site, so that none is dead there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from handbook.generated import SECTIONS, Made
from handbook.root import ROOT

LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")
HIDDEN = "---\nsearch:\n  exclude: true\n---\n"  # a search is for the documentation
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "sh", ".txt": "text", ".md": "markdown"}


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site have it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower())
    return kept.replace(" ", "-")


class Links:
    """Where a link of a page leads in the site."""

    def __init__(self, made: Mapping[str, Made]) -> None:
        self._made = made

    def rewritten(self, markdown: str, name: str) -> str:
        """Return the page with its links to the repository's files led to their pages."""

        def lead(match: re.Match[str]) -> str:
            target = self._page(match[2], name)
            if target is None:
                return match[0]
            path, anchor = target
            there = posixpath.relpath(path, posixpath.dirname(name) or ".")
            return f"{match[1]}{there}{anchor}{match[3]}"

        return _outside_fences(markdown, lambda text: LINK.sub(lead, text))

    def sources(self, written: Mapping[str, str]) -> dict[str, str]:
        """Return a page for each file or folder that these pages, or those pages, link to."""
        found: dict[str, str] = {}
        left = dict(written)
        while left:
            name, text = left.popitem()
            for path in self._repository_files(text, name):
                page = _source_name(path)
                if page not in found:
                    found[page] = _source_page(path)
                    if path.suffix == ".md" or path.is_dir():
                        left[page] = found[page]
        return found

    def _repository_files(self, text: str, name: str) -> list[Path]:
        paths: list[Path] = []

        def note(match: re.Match[str]) -> str:
            target = self._page(match[2], name)
            if target and target[0].startswith("source/"):
                paths.append(ROOT / self._path(match[2], name))
            return match[0]

        _outside_fences(text, lambda part: LINK.sub(note, part))
        return paths

    def _page(self, link: str, name: str) -> tuple[str, str] | None:
        """Return the page of the site and the anchor; None where the link is right as it is."""
        if ELSEWHERE.match(link):
            return None
        anchor = "#" + link.partition("#")[2] if "#" in link else ""
        path = self._path(link, name)
        if path == "README.md":
            return self._readme(anchor)
        if path == "CHANGELOG.md":
            return "changelog.md", anchor
        if path.startswith("docs/"):
            return path.removeprefix("docs/"), anchor
        if path.startswith("../") or not (ROOT / path).exists():
            return None  # the build says that it is dead
        return _source_name(ROOT / path), ""

    def _path(self, link: str, name: str) -> str:
        """Return what the link leads to, from the repository's root."""
        origin = self._made[name].origin if name in self._made else None
        if name.startswith("source/"):
            origin = posixpath.join(posixpath.dirname(name.removeprefix("source/")), "-")
        base = posixpath.dirname(origin) if origin else posixpath.join("docs", name, "..")
        return posixpath.normpath(posixpath.join(base, link.partition("#")[0]))

    @staticmethod
    def _readme(anchor: str) -> tuple[str, str]:
        for title, page in SECTIONS.items():
            if anchor == "#" + slug(title):
                return page, ""
        return "index.md", ""


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    changed, end = [], 0
    for fence in FENCE.finditer(markdown):
        changed += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*changed, change(markdown[end:])])


def _source_name(path: Path) -> str:
    inside = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        return f"source/{inside}/index.md"
    if path.name == "README.md":
        return f"source/{path.parent.relative_to(ROOT).as_posix()}/index.md"
    return f"source/{inside}.md"


def _source_page(path: Path) -> str:
    if path.is_dir() or path.name == "README.md":
        return HIDDEN + _folder(path if path.is_dir() else path.parent)
    language = LANGUAGES.get(path.suffix, "text")
    inside = path.relative_to(ROOT).as_posix()
    return f"{HIDDEN}# {inside}\n\n~~~~{language}\n{path.read_text('utf-8')}~~~~\n"


def _folder(path: Path) -> str:
    """Return its README and a list of its Python files, each with what its docstring says."""
    readme = path / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else f"# {path.relative_to(ROOT)}\n"
    names = sorted(each.name for each in path.glob("*.py") if each.name != "__init__.py")
    return text + "\n" + "\n".join(f"- [{name}]({name})" for name in names) + "\n"
