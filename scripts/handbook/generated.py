"""The pages that nobody writes: from the README, the changelog, the code and its command line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from handbook import api, commands
from handbook.root import ROOT

SECTIONS = {"Settings": "settings.md", "Promises, and the tests that hold them": "promises.md"}
"""The README's sections that are pages of the site."""


@dataclass(frozen=True)
class Made:
    """A page, and the file of the repository that its links are relative to, if it is one's."""

    text: str
    origin: str | None = None


@cache
def pages() -> dict[str, Made]:
    """Return each page's text by its name in the site."""
    readme = (ROOT / "README.md").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    made = {name: Made(section(readme, title), "README.md") for title, name in SECTIONS.items()}
    return made | {
        "changelog.md": Made(changelog, "CHANGELOG.md"),
        "commands.md": Made(commands.page()),
        "api.md": Made(api.page()),
    }


def section(text: str, title: str) -> str:
    """Return the section of this title as a page of its own."""
    _, heading, after = text.partition(f"\n## {title}\n")
    if not heading:
        raise LookupError(f"README.md has no section {title!r}, which is a page of the site")
    body, _, _ = after.partition("\n## ")
    return f"# {title}\n{body}\n"
