"""The cap that the whole fleet obeys: a lease for each session, taken, kept and given back."""

from __future__ import annotations

import itertools
import logging
import random
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from broker.backoff import delay_s
from broker.cap import limits
from broker.cap.dynamodb import DynamoDb
from broker.cap.lease import Item, Step, Terms, judge
from broker.cap.limits import Limits, refuse_unsafe
from broker.cap.table import SHARD_SLOTS, LeaseTable, TableBusy, TableRefused
from broker.deadline import Clock, Deadline, Instant
from broker.errors import CapReached, CapUnreachable, CapUnsafe
from broker.settings import Settings, WhenUnreachable

if TYPE_CHECKING:
    from broker.wire import Session

T = TypeVar("T")
log = logging.getLogger("broker")

PATIENCE_S = 3.0  # with a table that is busy, before it counts as unreachable
GIVE_BACK_S = 0.5  # of an invocation's end; what is not given back in time expires
LOOK_S = 0.05  # a look that has less is cut off, and would call the table unreachable
FULL_BASE_S = 0.1  # first wait's upper end when full; each look costs a read unit a shard
TRIES_A_LOOK = 3  # free slots tried before looking again: more than that are others' by now
RENEWAL_REST = 1 / 12  # of the life, after a renewal that was not urgent and failed


class Lease:
    """One session's place under the cap. Belongs to whoever has the session."""

    def __init__(self, cap: Cap, slot: int | None, token: str, granted_at: Instant) -> None:
        self._cap = cap
        self.slot = slot
        """None for a session that was opened while the table was out of reach."""
        self.token = token
        self.granted_at = granted_at
        """When the last request that was granted had begun."""
        self.rested_at: Instant | None = None
        self.afterlife_s = 0.0

    def __repr__(self) -> str:
        return f"<Lease {self.token[:6]} on slot {self.slot}>"

    def cover(self, limits: Limits, deadline: Deadline) -> bool:
        """Let the lease stand for a session with these limits, as `keep` does from then on.

        Raises CapUnsafe where the session could outlive it.
        """
        refuse_unsafe(limits, deadline.remaining_s(), self._cap.terms, self._cap.role)
        self.afterlife_s = limits.afterlife_s
        return self.keep(deadline)

    def keep(self, deadline: Deadline) -> bool:
        """Tell whether the session may be used until `deadline`, renewing the lease if need be.

        False: it is lost, and the session must be retired without another word to the server.
        Raises CapUnreachable where it must be renewed and cannot be, CapUnsafe where no renewal
        would last until `deadline`.
        """
        return self.slot is None or self._cap._keep(self, self.slot, deadline)

    def give_back(self) -> None:
        """Free the slot, once the session has surely ended. Never raises."""
        if self.slot is not None:
            self._cap._give_back(self.slot, self.token)

    def abandon(self) -> None:
        """Leave the slot to expire: the session may still be alive on the server."""
        if self.slot is not None:
            self._cap._count("leases_abandoned")


class Cap:
    """Leases for this environment's sessions. Thread-safe."""

    def __init__(
        self,
        terms: Terms,
        when_unreachable: WhenUnreachable,
        table: LeaseTable,
        count: Callable[[str], None],
        clock: Clock,
        rng: random.Random,
        *,
        role: str = "app",
    ) -> None:
        self.terms = terms
        self.role = role
        self._when_unreachable = when_unreachable
        self._table = table
        self._count = count
        self._clock = clock
        self._rng = rng

    @classmethod
    def of(
        cls, settings: Settings, count: Callable[[str], None], clock: Clock, rng: random.Random
    ) -> Cap:
        """Return the cap of these settings, its table on the environment's DynamoDB."""
        terms = Terms(settings.cap_name, settings.cap or 0, settings.cap_lease_s)
        return cls(
            terms,
            settings.cap_when_unreachable,
            LeaseTable(DynamoDb.from_environ(), settings.cap_table or "", terms),
            count,
            clock,
            rng,
            role=settings.user or "the_secrets_user",
        )

    def __repr__(self) -> str:
        return f"<Cap {self.terms.name} of {self.terms.cap}>"

    def take(self, deadline: Deadline) -> Lease:
        """Return a lease, waiting for one where all are taken.

        Raises CapReached at the deadline, and CapUnreachable as configured.
        """
        try:
            for slot in self._candidates(deadline):
                lease = self._take_slot(slot, deadline)
                if lease is not None:
                    return lease
        except (TableBusy, TableRefused) as error:
            return self._without(error)
        raise AssertionError("unreachable")

    def cover(self, lease: Lease, session: Session, deadline: Deadline) -> bool:
        """Read the new session's limits, in one flight, and let its lease stand for it.

        False: the lease was lost meanwhile. Raises CapUnsafe where the session could outlive it,
        what the flight raises, and what Lease.keep does.
        """
        row = session.execute(limits.SQL, [()], deadline, rides=False).rows[0]
        return lease.cover(limits.Limits.read(row), deadline)

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's connections; its leases are not ours."""
        self._table.close()

    def _candidates(self, deadline: Deadline) -> Iterator[int]:
        """Yield slots to try: any one first, then such as a look at the table shows to be free."""
        started_s = self._clock.monotonic()
        cap = self.terms.cap
        yield self._rng.randrange(cap)
        for attempt in itertools.count():
            held = 0
            for slots in self._shards():
                free = self._free(slots, deadline)
                while len(free) > TRIES_A_LOOK:
                    yield from free[:TRIES_A_LOOK]
                    free = self._free(slots, deadline)
                yield from free
                held += len(slots) - len(free)
            self._count("cap_full")
            wait_s = delay_s(attempt, self._rng, base_s=FULL_BASE_S)
            if wait_s >= deadline.remaining_s() - LOOK_S:
                self._raise_reached(held, self._clock.monotonic() - started_s)
            self._clock.sleep(wait_s)

    def _shards(self) -> list[range]:
        """Return each shard's slots, in any order, so that waiters spread out."""
        cap = self.terms.cap
        shards = [range(at, min(at + SHARD_SLOTS, cap)) for at in range(0, cap, SHARD_SLOTS)]
        self._rng.shuffle(shards)
        return shards

    def _free(self, slots: range, deadline: Deadline) -> list[int]:
        shard = slots.start // SHARD_SLOTS
        items = self._patiently(lambda s: self._table.items(shard, s), deadline)
        now_ms = _milliseconds(self._clock.now())
        free = [n for n in slots if n not in items or items[n].expires_ms < now_ms]
        self._rng.shuffle(free)
        return free

    def _take_slot(self, slot: int, deadline: Deadline) -> Lease | None:
        lease = Lease(self, slot, secrets.token_hex(12), self._clock.now())

        def put(within_s: float) -> bool:
            lease.granted_at = self._clock.now()
            wanted = self._item(lease.token, lease.granted_at)
            return self._table.take(slot, wanted, _milliseconds(lease.granted_at), within_s)

        return lease if self._patiently(put, deadline) else None

    def _item(self, token: str, at: Instant) -> Item:
        return Item(token, _milliseconds(at) + int(self.terms.life_s * 1000))

    def _patiently(
        self, request: Callable[[float], T], deadline: Deadline, attempts: int | None = None
    ) -> T:
        """Return the request's answer, making it again for a while where the table is busy."""
        bounded = deadline.within(PATIENCE_S)
        for attempt in itertools.count(1):
            self._count("lease_requests")
            try:
                return request(bounded.remaining_s())
            except TableBusy:
                wait_s = delay_s(attempt, self._rng)
                if attempt == attempts or wait_s >= bounded.remaining_s():
                    raise
            self._clock.sleep(wait_s)
        raise AssertionError("unreachable")

    def _keep(self, lease: Lease, slot: int, deadline: Deadline) -> bool:
        now = self._clock.now()
        use_s = deadline.remaining_s()
        step = judge(now.since(lease.granted_at), use_s, lease.afterlife_s, self.terms)
        if step is Step.USE:
            return True
        if step is Step.RENEW:
            rest_s = self.terms.life_s * RENEWAL_REST
            if lease.rested_at is not None and now.since(lease.rested_at) < rest_s:
                return True
            return self._renew_if_possible(lease, slot, deadline)
        needed_s = self.terms.spare_s(use_s, lease.afterlife_s)
        if needed_s > self.terms.life_s:
            raise CapUnsafe(
                f"BROKER_CAP_LEASE_S={self.terms.life_s:g} is too short for a use of {use_s:.0f} s "
                f"(the deadline), which needs {needed_s:.0f} s: make it {needed_s * 1.5:.0f}"
            )
        try:
            return self._renewed(lease, slot, deadline)
        except (TableBusy, TableRefused) as error:
            self._without(error)
            return True

    def _renew_if_possible(self, lease: Lease, slot: int, deadline: Deadline) -> bool:
        """Renew a lease that would do as it is."""
        try:
            return self._renewed(lease, slot, deadline, attempts=1)
        except (TableBusy, TableRefused) as error:
            self._count("lease_renewals_failed")
            log.warning("a lease could not be renewed yet: %s", error)
            lease.rested_at = self._clock.now()
            return True

    def _renewed(
        self, lease: Lease, slot: int, deadline: Deadline, attempts: int | None = None
    ) -> bool:
        asked_at = self._clock.now()

        def renew(within_s: float) -> bool:
            nonlocal asked_at
            asked_at = self._clock.now()
            return self._table.renew(slot, self._item(lease.token, asked_at), within_s)

        if not self._patiently(renew, deadline, attempts):
            self._count("leases_lost")
            return False
        lease.granted_at, lease.rested_at = asked_at, None
        return True

    def _give_back(self, slot: int, token: str) -> None:
        self._count("lease_requests")
        try:
            self._table.give_back(slot, token, GIVE_BACK_S)
        except (TableBusy, TableRefused) as error:
            self._count("leases_abandoned")
            log.warning("a lease was not given back, and expires instead: %s", error)

    def _without(self, error: Exception) -> Lease:
        """Go on without a lease where that is configured."""
        self._count("cap_unreachable")
        if self._when_unreachable is WhenUnreachable.CLOSED:
            advice = " ".join((CapUnreachable.__doc__ or "").split())
            raise CapUnreachable(f"{error}. {advice}") from error
        self._count("uncapped")
        log.error("a session is used without a lease (BROKER_CAP_WHEN_UNREACHABLE=open): %s", error)
        return Lease(self, None, "uncapped", self._clock.now())

    def _raise_reached(self, held: int, waited_s: float) -> NoReturn:
        self._count("cap_reached")
        advice = " ".join((CapReached.__doc__ or "").split())
        raise CapReached(
            f"{held} of {self.terms.cap} leases of {self.terms.name} in force, "
            f"waited {waited_s:.1f} s. {advice}",
            cap=self.terms.cap,
            held=held,
            waited_s=waited_s,
        )


def _milliseconds(moment: Instant) -> int:
    return int(moment.wall_s * 1000)
