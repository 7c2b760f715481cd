"""The pages as their readers have them: blocks of code, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from handbook.outside import slug

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code, and where it is."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line, which is what an exception is listed by."""
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Page:
    """A file that people read, by its path in the repository."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its blocks of code and its `code`."""
        return re.sub(r"`[^`\n]*`", "", FENCE.sub("", self.text))

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(self.name, self.text[: found.start()].count("\n") + 1, found[1], found[2])
            for found in FENCE.finditer(self.text)
        ]

    @cached_property
    def links(self) -> list[str]:
        return LINK.findall(FENCE.sub("", self.text))

    @cached_property
    def anchors(self) -> set[str]:
        return {slug(heading) for heading in HEADING.findall(FENCE.sub("", self.text))}


def _pages() -> list[Page]:
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
    paths += sorted((ROOT / "examples").rglob("*.md"))
    return [Page(path.relative_to(ROOT).as_posix()) for path in paths]


PAGES = _pages()
BLOCKS = [block for page in PAGES for block in page.blocks]
