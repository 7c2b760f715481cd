"""How numbers are said: ages and counts, as people read them."""

from __future__ import annotations


def age(seconds: float | None) -> str:
    """Return an age in its two largest units."""
    if seconds is None:
        return "an unknown time"
    whole = int(seconds)
    if whole < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def count(number: int, what: str) -> str:
    """Return "1 session" or "5 sessions"."""
    plural = what if number == 1 else f"{what[:-1]}ies" if what.endswith("y") else _plural(what)
    return f"{number:,} {plural}"


def _plural(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"
