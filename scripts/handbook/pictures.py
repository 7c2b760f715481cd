"""The pictures, put into the page itself: an image of its own cannot have the page's colours."""

from __future__ import annotations

import html as escaping
import re

from handbook.root import DOCS

IMAGE = re.compile(r'<img alt="([^"]*)" src="(?:\.\./)*(pictures/[\w-]+\.svg)"\s*/?>')
ALONE = re.compile(r"<style class=\"alone\">.*?</style>\s*", re.DOTALL)


def inlined(html: str) -> str:
    """Return the page with each of docs/pictures in the place of its image."""
    return IMAGE.sub(lambda match: _figure(match[2], match[1]), html)


def _figure(path: str, alt: str) -> str:
    """Return the picture without the colours that it has where it stands alone."""
    svg = ALONE.sub("", (DOCS / path).read_text("utf-8"))
    name = path.removeprefix("pictures/").removesuffix(".svg")
    svg = re.sub(r'id="([\w-]+)"', rf'id="{name}-\1"', svg)  # ids are the page's
    svg = re.sub(r"url\(#([\w-]+)\)", rf"url(#{name}-\1)", svg)
    label = escaping.escape(escaping.unescape(alt))
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
