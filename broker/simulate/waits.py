"""Waits: how long the requests that begin in a tick have waited, each for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.simulate.gate import Passage
from broker.simulate.histogram import Histogram
from broker.simulate.line import Piece
from broker.simulate.service_time import Floats, ServiceTime

DRAWS = 64  # of a cohort's latencies: each stands for its share of the others


@dataclass(frozen=True, slots=True)
class Waits:
    """A tick's: `passage` is None where nobody has to wait for one of the `servers`."""

    rng: np.random.Generator
    tick: int
    tick_s: float
    passage: Passage | None
    servers: int

    def record(self, piece: Piece, time: ServiceTime, latencies: Histogram) -> bool:
        """Add the latencies of these requests; return whether any of them waited."""
        count = min(piece.cohort.count, DRAWS)
        waits = self._draw(piece, count)
        taken = piece.cohort.before_s + waits + time.draw(self.rng, count)
        latencies.add(taken, piece.cohort.count / count)
        return bool(waits.any())

    def _draw(self, piece: Piece, count: int) -> Floats:
        """Draw them: from one tick to another by the places in line, within a tick at the gate."""
        places = self.rng.random(count)
        came = piece.first + places * (piece.last - piece.first)
        if piece.joined < self.tick:
            began = piece.begun + places * (piece.ended - piece.begun)
            return (self.tick - piece.joined + began - came) * self.tick_s
        if self.passage is None or not self.passage.waits:
            return np.zeros(count)
        return np.maximum(0.0, self.passage.at(self.rng, came)) / self.servers
