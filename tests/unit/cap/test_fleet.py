"""Whatever a fleet of real caps does, at any moment no more sessions live than the cap allows.

The caps, their leases and their rules are the library's own. Clocks, the server's timeouts, freezes
and crashes are hypothesis' to arrange; sizes are a deployment's.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.cap.cap import Cap, Lease
from broker.cap.lease import SKEW_S, Terms
from broker.deadline import Deadline
from broker.errors import CapReached, CapUnreachable
from tests.unit.cap.fakes import LIMITS, SkewedClock, World

ENVIRONMENTS = 12
USE_S = 30.0


@dataclass
class Environment:
    """An environment with at most one session, which the server ends at `ends_s`, true time."""

    clock: SkewedClock
    cap: Cap
    lease: Lease | None = None
    ends_s: float = -1.0


class Fleet(RuleBasedStateMachine):
    """Environments that come, work, freeze, thaw and vanish."""

    @initialize(cap=st.integers(1, 6))
    def begin(self, cap: int) -> None:
        self.world = World(Terms("app", cap, 600))
        self.orphans: list[float] = []
        self.fleet = [self.environment(n) for n in range(ENVIRONMENTS)]

    def environment(self, seed: int) -> Environment:
        clock = SkewedClock(self.world.clock)
        return Environment(clock, self.world.cap(clock=clock, seed=seed))

    numbers = st.integers(0, ENVIRONMENTS - 1)
    skews = st.floats(-SKEW_S, SKEW_S)

    @rule(n=numbers, skew_s=skews, talks_for=st.floats(0, USE_S), lost=st.integers(0, 2))
    def invocation(self, n: int, skew_s: float, talks_for: float, lost: int) -> None:
        """Use the session, or open one, and let its last word be late in the invocation."""
        here = self.fleet[n]
        here.clock.skew_s = skew_s
        deadline = Deadline.after(USE_S, here.clock)
        self.world.table.lose(lost, carried_out=bool(lost % 2))
        try:
            if here.lease is not None and not here.lease.keep(deadline):
                self.abandon(n)
            if here.lease is None:
                lease = here.cap.take(deadline)
                if not lease.cover(LIMITS, deadline):
                    return
                here.lease = lease
        except (CapReached, CapUnreachable):
            self.abandon(n)
            return
        finally:
            self.world.table.outages.clear()
        said_s = min(talks_for, max(deadline.remaining_s(), 0.0))
        now_s = self.world.clock.wall_s
        # Alive from this moment on, since the lease is in force, until its limits end it.
        here.ends_s = now_s + said_s + LIMITS.afterlife_s

    @rule(n=numbers, gives_back=st.booleans())
    def retirement(self, n: int, gives_back: bool) -> None:
        """End the session; the server is sure of it or not."""
        here = self.fleet[n]
        if here.lease is None:
            return
        if gives_back:
            here.lease.give_back()
            here.lease = None
        else:
            self.abandon(n)

    def abandon(self, n: int) -> None:
        here = self.fleet[n]
        if here.lease is not None:
            self.orphans.append(here.ends_s)
        here.lease = None

    @rule(n=numbers)
    def crash(self, n: int) -> None:
        self.abandon(n)
        self.fleet[n] = self.environment(n + 100)

    @rule(seconds=st.floats(0, 700))
    def time(self, seconds: float) -> None:
        """Every environment is frozen meanwhile, and its monotonic clock may have stopped."""
        self.world.clock.advance(seconds)
        for here in self.fleet:
            here.clock.stopped_s += seconds

    @invariant()
    def no_more_sessions_live_than_the_cap_allows(self) -> None:
        if not hasattr(self, "fleet"):
            return
        now_s = self.world.clock.wall_s
        living = [e for e in self.fleet if e.lease is not None and e.ends_s >= now_s]
        orphans = [ends_s for ends_s in self.orphans if ends_s >= now_s]
        assert len(living) + len(orphans) <= self.world.terms.cap

    @invariant()
    def no_row_outlasts_one_life(self) -> None:
        if hasattr(self, "fleet"):
            latest_s = self.world.clock.wall_s + self.world.terms.life_s + SKEW_S
            for item in self.world.table.rows.values():
                assert item.expires_ms / 1000 <= latest_s + 0.001


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
