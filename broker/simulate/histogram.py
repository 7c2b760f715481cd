"""Histogram: latencies in bins that are each 2 % wider than the one before."""

from __future__ import annotations

import math

import numpy as np

from broker.simulate.service_time import Floats

LEAST_S = 1e-5
STEP = math.log(1.02)
BINS = math.ceil(math.log(1e9) / STEP)  # up to LEAST_S × 1e9: nobody waits for three hours


class Histogram:
    """Counts of latencies; a quantile is right to 1 %."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = np.zeros(BINS)

    def add(self, seconds: Floats, each: float) -> None:
        """Count these, `each` of them standing for so many requests."""
        bins = (np.log(np.maximum(seconds, LEAST_S) / LEAST_S) / STEP).astype(np.intp)
        np.add.at(self._counts, np.minimum(bins, BINS - 1), each)

    def __add__(self, other: Histogram) -> Histogram:
        total = Histogram()
        total._counts = self._counts + other._counts
        return total

    @property
    def count(self) -> float:
        """How many requests it holds."""
        return float(self._counts.sum())

    def quantile(self, share: float) -> float | None:
        """Return the latency that this share stays below, in s; None where nothing was answered."""
        reached = np.cumsum(self._counts)
        if not reached[-1]:
            return None
        place = int(np.searchsorted(reached, share * reached[-1]))
        return LEAST_S * math.exp((place + 0.5) * STEP)
