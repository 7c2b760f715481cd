"""A table, a server and environments for tests of the cap, in one process, without waiting."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

from broker.cap.cap import Cap, Lease
from broker.cap.lease import Item, Terms, may_delete, may_renew, may_take
from broker.cap.limits import Limits
from broker.cap.table import SHARD_SLOTS, TableBusy
from broker.deadline import Deadline, Instant
from broker.settings import WhenUnreachable
from tests.unit.fakes import FakeClock

LIMITS = Limits(idle_s=240, idle_in_transaction_s=60, statement_s=60, transaction_s=60)
TERMS = Terms("app", 2, 600)


class FakeTable:
    """The table's rules on a dictionary; `outages` are raised before or after the write."""

    def __init__(self) -> None:
        self.rows: dict[int, Item] = {}
        self.requests = 0
        self.shortest_look_s = math.inf
        self.outages: list[tuple[Exception, bool]] = []
        """What to raise next, and whether the write happens all the same."""

    def take(self, slot: int, wanted: Item, now_ms: int, within_s: float) -> bool:
        return self._write(slot, may_take(self.rows.get(slot), wanted, now_ms), wanted)

    def renew(self, slot: int, wanted: Item, within_s: float) -> bool:
        return self._write(slot, may_renew(self.rows.get(slot), wanted), wanted)

    def give_back(self, slot: int, token: str, within_s: float) -> bool:
        return self._write(slot, may_delete(self.rows.get(slot), token), None)

    def items(self, shard: int, within_s: float) -> dict[int, Item]:
        self.shortest_look_s = min(self.shortest_look_s, within_s)
        self._write(-1, False, None)
        return {n: item for n, item in self.rows.items() if n // SHARD_SLOTS == shard}

    def close(self) -> None:
        """There is nothing to let go of."""

    def _write(self, slot: int, allowed: bool, item: Item | None) -> bool:
        self.requests += 1
        outage, carried_out = self.outages.pop(0) if self.outages else (None, True)
        if allowed and carried_out:
            self.rows.pop(slot, None)
            if item is not None:
                self.rows[slot] = item
        if outage is not None:
            raise outage
        return allowed

    def lose(self, times: int = 1, *, carried_out: bool = False) -> None:
        """Let no answer come from the next requests."""
        self.outages += [(TableBusy("no answer"), carried_out)] * times


class SkewedClock:
    """An environment's clocks: the wall off by `skew_s`, the monotonic one stopped when frozen."""

    def __init__(self, true: FakeClock, skew_s: float = 0.0) -> None:
        self.true = true
        self.skew_s = skew_s
        self.stopped_s = 0.0

    def now(self) -> Instant:
        return Instant(self.monotonic(), self.true.wall_s + self.skew_s)

    def monotonic(self) -> float:
        return self.true.monotonic_s - self.stopped_s

    def sleep(self, seconds: float) -> None:
        self.true.sleep(seconds)


class World:
    """What several caps share."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.terms = terms
        self.clock = FakeClock()
        self.table = FakeTable()
        self.counts: Counter[str] = Counter()

    def cap(self, *, clock: Any = None, seed: int = 0, is_open: bool = False, **terms: Any) -> Cap:
        return Cap(
            self.terms._replace(**terms),
            WhenUnreachable.OPEN if is_open else WhenUnreachable.CLOSED,
            self.table,  # type: ignore[arg-type]  # a fake
            lambda what: self.counts.update((what,)),
            clock or self.clock,
            random.Random(seed),
        )

    def deadline(self, seconds: float = 30.0) -> Deadline:
        return Deadline.after(seconds, self.clock)

    def covered(self, cap: Cap, seconds: float = 30.0) -> Lease:
        """Return a lease for a session with the usual limits."""
        lease = cap.take(self.deadline(seconds))
        assert lease.cover(LIMITS, self.deadline(seconds))
        return lease
