"""ServiceTime: how long a transaction holds a session, from broker.toml's mean and p99."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from broker.plan import queueing

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """A log-normal time with this mean and p99, or an exponential one where no p99 is known.

    `sigma` None is exponential. `square` is the second moment, in s².
    """

    mean_s: float
    sigma: float | None
    square: float

    @classmethod
    def of(cls, mean_s: float, p99_s: float | None) -> Self:
        """Return the time as the plan's queueing reads it."""
        square = mean_s**2 * (1 + queueing.cv2(mean_s, p99_s))
        return cls(mean_s, queueing.log_sigma(mean_s, p99_s), square)

    def stretched(self, times: float) -> ServiceTime:
        """Return the time of what takes so many times as long."""
        return ServiceTime(self.mean_s * times, self.sigma, self.square * times**2)

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return so many times, in s."""
        if self.sigma is None:
            return rng.exponential(self.mean_s, count)
        return rng.lognormal(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma, count)

    def stays(self, tick_s: float) -> float:
        """Return the chance that who is served when a tick begins still is when it ends."""
        return math.exp(-tick_s / self.mean_s)

    def stays_new(self, tick_s: float) -> float:
        """Return the same chance for who begins to be served at any moment of the tick."""
        return self.mean_s / tick_s * -math.expm1(-tick_s / self.mean_s)

    def stays_again(self, tick_s: float) -> float:
        """Return the same chance for who asked again when last answered: half a tick ago."""
        return math.exp(-1.5 * tick_s / self.mean_s)
