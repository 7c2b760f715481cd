"""The known name that is nearest to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like `name`; there must be one."""
    (found,) = _like(name, known, cutoff=0.0)
    return found


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that may have been meant, or None where none looks like it."""
    return next(iter(_like(name, known, cutoff=0.6)), None)


def _like(name: str, known: Iterable[str], cutoff: float) -> list[str]:
    import difflib  # late for its weight: only an error needs it

    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
