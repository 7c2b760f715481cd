"""A quantile of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them stays below."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
