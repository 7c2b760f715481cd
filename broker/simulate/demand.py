"""Demand: how many environments a tick's requests need at once, and how many find none.

In a tick that is short against a request, each of its requests needs an environment of its own;
in a long one they follow each other in a few. Both are the same: what is left of those in flight
and of the new ones when the tick ends, and the most by which their number swings until then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from broker.plan import queueing

FAR = 6.0  # standard deviations
MANY = 2_000  # environments, from which on the chance of a loss is the fluid one


@dataclass(frozen=True, slots=True)
class Demand:
    """`in_flight` are there when the tick begins, `asked` come in it; each takes `hold_s`.

    `held` of those in flight stay for longer: they wait for a start or for a connection. No more
    than `served` can be answered in the tick. `load` is how many are in flight of late.
    """

    in_flight: int
    held: int
    asked: int
    served: float
    hold_s: float
    tick_s: float
    load: float = 0.0

    @property
    def settled(self) -> float:
        """How much of the tick is longer than a request: 0 if none is, nearly 1 in a long tick."""
        return max(0.0, 1 - self.hold_s / self.tick_s)

    @property
    def _staying_new(self) -> float:
        return self.hold_s / self.tick_s * -math.expm1(-self.tick_s / self.hold_s)

    @property
    def _staying_old(self) -> float:
        moving = max(0, self.in_flight - self.held)
        return self.held + moving * math.exp(-self.tick_s / self.hold_s)

    @property
    def usual(self) -> float:
        """How many are in flight when the tick ends, on average."""
        return max(self._left, self._staying_old + self.asked * self._staying_new)

    @property
    def _left(self) -> float:
        return self.in_flight + self.asked - self.served

    def peak(self) -> int:
        """Return the most that are in flight at once."""
        if not self.asked:
            return self.in_flight
        new = self.asked * self._staying_new
        likely = math.ceil(self.usual + swing(new, self.tick_s / self.hold_s))
        return max(self.in_flight, min(likely, self.in_flight + self.asked))

    def most(self, slots: int) -> float:
        """Return how many can come so that `slots` are enough on average."""
        room = (slots - self._staying_old) / self._staying_new
        return max(0.0, min(room, slots - self.in_flight + self.served))

    def lost(self, slots: int) -> float:
        """Return how many find no slot free, on average."""
        over = self.asked - self.most(slots)
        if not self.settled:
            return max(0.0, over, self._staying_old + self.asked - slots)
        return max(over, self.asked * _loss(self.load, slots))


def swing(load: float, times: float) -> float:
    """Return by how much a Poisson number around `load` exceeds it at the most in so many looks."""
    return math.sqrt(2 * math.log1p(max(0.0, times)) * load)


def _loss(load: float, slots: int) -> float:
    if load + FAR * math.sqrt(load) < slots:
        return 0.0
    if slots > MANY:
        return max(0.0, 1 - slots / load)
    return queueing.erlang_b(load, slots)
