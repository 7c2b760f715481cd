"""Quantities: a number with its unit, as "10 MB" and "250 ms"."""

from __future__ import annotations

import math
import re

BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
PER_SECOND = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}

_SHAPE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/]*)\s*", re.ASCII)


def read(text: str, units: dict[str, float]) -> float:
    """Return the quantity in the unit whose factor is 1; ValueError says what is wrong."""
    match = _SHAPE.fullmatch(text)
    if not match:
        raise ValueError("is not a number with a unit")
    digits, unit = match.groups()
    if not unit:
        raise ValueError("has no unit")
    if unit not in units:
        raise ValueError(f"has the unknown unit {unit!r}")
    value = float(digits) * units[unit]
    if not math.isfinite(value):
        raise ValueError("is too large")
    return value


def show_bytes(count: float) -> str:
    """Return the bytes in MB or GB, decimal as the vendors' "10 MB a connection" is."""
    if count >= BYTES["GB"]:
        return f"{count / BYTES['GB']:.1f} GB".replace(".0 ", " ")
    return f"{count / BYTES['MB']:.0f} MB"
