"""The known name that is nearest to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like `name`; there must be one."""
    import difflib  # late for its weight: only an error needs it

    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
