"""A model of the fleet under its cap: environments, clocks, a network, Postgres and the table.

Time is in ticks, and every time in a state counts from the state's own present, so that the
states are finitely many and exploring them covers runs of any length. The rules are the real ones,
broker.cap.lease; `broken` names those that are left out, to see that the model can fail.

What the model lets happen, at any moment and in any order: an environment is frozen (it does
nothing), crashes, or thaws; each reading of a wall clock is off by up to the skew, another time in
another direction, and the monotonic clock stands still in a freeze; a request is applied or not,
answered or not, and one that seemed lost arrives later, among or after others; a session is closed
without the server's noticing; the server ends each session only at the last moment that its
timeouts allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from broker.cap.lease import Item, Step, Terms, judge, may_delete, may_renew, may_take

NONE = -1  # of a countdown: over


class Environment(NamedTuple):
    """An environment that has a lease."""

    slot: int
    token: int
    expires: int
    """What it knows; in the table it may be later."""
    use: int
    """Ticks in which it may still talk to the server without asking about its lease."""
    session: int
    """Ticks until the server ends its session; NONE where there is no living one."""


class Late(NamedTuple):
    """A request that its sender took for lost."""

    kind: str
    slot: int
    item: Item
    now: int


class State(NamedTuple):
    environments: tuple[Environment | None, ...]
    slots: tuple[Item | None, ...]
    orphans: tuple[int, ...]
    """Living sessions that no environment has, as ticks until the server ends them."""
    late: tuple[Late, ...]

    @property
    def living(self) -> int:
        owned = sum(e is not None and e.session >= 0 for e in self.environments)
        return owned + len(self.orphans)


@dataclass(frozen=True)
class Model:
    """The world's sizes, and what is broken in it."""

    environments: int = 2
    cap: int = 1
    life: int = 6
    use: int = 1
    afterlife: int = 2
    skew: int = 1
    margin: int = 0
    late: int = 1
    broken: frozenset[str] = frozenset()

    @property
    def terms(self) -> Terms:
        skew = 0 if "skew" in self.broken else self.skew
        return Terms("model", self.cap, self.life, skew, self.margin)

    @property
    def skews(self) -> tuple[int, ...]:
        return (-self.skew, self.skew) if self.skew else (0,)

    @property
    def start(self) -> State:
        return State((None,) * self.environments, (None,) * self.cap, (), ())

    def faults(self, state: State) -> str | None:
        """Return what is wrong with a state."""
        if state.living > self.cap:
            return f"{state.living} sessions live under a cap of {self.cap}"
        latest = self.life + self.skew
        if any(item is not None and item.expires_ms > latest for item in state.slots):
            return "a slot's capacity would not be back within one lease life"
        return None

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield everything that may happen next."""
        yield "a tick", self._tick(state)
        for number, environment in enumerate(state.environments):
            if environment is None:
                for slot in range(self.cap):
                    yield from self._take(state, number, slot)
            else:
                yield from self._own(state, number, environment)
        for late in state.late:
            rest = tuple(x for x in state.late if x is not late)
            yield f"{late} arrives", self._deliver(state._replace(late=rest), late)[0]

    def _own(self, state: State, number: int, mine: Environment) -> Iterator[tuple[str, State]]:
        gone = self._put(state, number, None)
        orphaned = self._orphan(gone, mine.session)
        yield f"{number} crashes or abandons its session", orphaned
        told = self._give_back(gone if "end" not in self.broken else orphaned, mine)
        for what, then in told:
            yield f"{number} retires, the give-back {what}", then
        if mine.use >= 0 or "thaw" in self.broken:
            talks = mine.session >= 0 or mine.use >= 0  # a session that was ended stays ended
            if talks:
                lives = mine._replace(session=self.afterlife)
                yield f"{number} talks to the server", self._put(state, number, lives)
        if mine.use < 0:
            yield from self._keep(state, number, mine)

    def _keep(self, state: State, number: int, mine: Environment) -> Iterator[tuple[str, State]]:
        for skew in self.skews:
            elapsed = self.life + skew - mine.expires
            use = 0 if "use" in self.broken else self.use
            afterlife = 0 if "afterlife" in self.broken else self.afterlife
            step = judge(elapsed, use, afterlife, self.terms)
            used = self._put(state, number, mine._replace(use=self.use))
            if step is not Step.RENEW_FIRST:
                yield f"{number} uses its session", used
            if step is Step.USE:
                continue
            wanted = Item(str(mine.token), skew + self.life)
            request = Late("renew", mine.slot, wanted, skew)
            applied, ok = self._deliver(state, request)
            if ok:
                renewed = mine._replace(expires=wanted.expires_ms, use=self.use)
                yield f"{number} renews by {skew:+}", self._put(applied, number, renewed)
                yield f"{number} renews, the answer is lost", applied
            elif "lost" not in self.broken:
                lost = self._orphan(self._put(state, number, None), mine.session)
                yield f"{number} finds its lease lost", lost
            else:
                yield f"{number} finds its lease lost and goes on", used
            yield from self._lose(state, number, request)

    def _take(self, state: State, number: int, slot: int) -> Iterator[tuple[str, State]]:
        token = 1 + max((e.token for e in state.environments if e), default=0)
        token = max([token, *(int(i.token) + 1 for i in state.slots if i)])
        token = max([token, *(int(x.item.token) + 1 for x in state.late)])
        for skew in self.skews:
            wanted = Item(str(token), skew + self.life)
            request = Late("take", slot, wanted, skew)
            applied, ok = self._deliver(state, request)
            if ok:
                mine = Environment(slot, token, wanted.expires_ms, self.use, NONE)
                yield f"{number} takes {slot} by {skew:+}", self._put(applied, number, mine)
                yield f"{number} takes {slot} and crashes", applied
                # The answer is lost, the request is sent again, and the first arrives later.
                for what, then in self._lose(applied, number, request):
                    yield f"twice, {what}", self._put(then, number, mine)
            yield from self._lose(state, number, request)

    def _give_back(self, state: State, mine: Environment) -> Iterator[tuple[str, State]]:
        request = Late("delete", mine.slot, Item(str(mine.token), 0), 0)
        yield "is applied", self._deliver(state, request)[0]
        yield "is lost", state
        yield from self._lose(state, 0, request)

    def _lose(self, state: State, number: int, request: Late) -> Iterator[tuple[str, State]]:
        if len(state.late) < self.late:
            yield f"{number}'s {request} is late", state._replace(late=(*state.late, request))

    def _deliver(self, state: State, request: Late) -> tuple[State, bool]:
        item, wanted, new = state.slots[request.slot], request.item, None
        if request.kind == "take":
            ok = may_take(item, wanted, request.now)
            if "duplicate" in self.broken and item is not None:
                ok = ok or item.token == wanted.token
            new = wanted
        elif request.kind == "renew":
            ok = may_renew(item, wanted)
            if "monotone" in self.broken and item is not None:
                ok = item.token == wanted.token
            new = wanted
        else:
            ok = may_delete(item, wanted.token) or "fence" in self.broken
        if not ok:
            return state, False
        slots = list(state.slots)
        slots[request.slot] = new
        return state._replace(slots=tuple(slots)), True

    def _orphan(self, state: State, session: int) -> State:
        if session < 0:
            return state
        return state._replace(orphans=(*state.orphans, session))

    @staticmethod
    def _put(state: State, number: int, environment: Environment | None) -> State:
        all_of_them = list(state.environments)
        all_of_them[number] = environment
        return state._replace(environments=tuple(all_of_them))

    def _tick(self, state: State) -> State:
        least = -(self.life + 2 * self.skew + 2)  # older makes no difference
        floor = -2 * (self.skew + 1)

        def older(item: Item) -> Item:
            return item._replace(expires_ms=max(item.expires_ms - 1, least))

        return State(
            tuple(
                e
                and e._replace(
                    expires=max(e.expires - 1, least),
                    use=max(e.use - 1, NONE),
                    session=max(e.session - 1, NONE),
                )
                for e in state.environments
            ),
            tuple(item and older(item) for item in state.slots),
            tuple(left - 1 for left in state.orphans if left > 0),
            tuple(
                late._replace(item=older(late.item), now=late.now - 1)
                for late in state.late
                if late.now + self.life > floor
            ),
        )


def canonical(state: State) -> State:
    """Return the state with its tokens numbered anew and what is alike in one order."""
    environments = sorted(
        state.environments, key=lambda e: (e is not None, e and (e.slot, e.expires, e[3:]))
    )
    names: dict[str, int] = {}

    def name(token: object) -> int:
        return names.setdefault(str(token), len(names) + 1)

    slots = tuple(i and Item(str(name(i.token)), i.expires_ms) for i in state.slots)
    named = tuple(e and e._replace(token=name(e.token)) for e in environments)
    late = sorted(x._replace(item=Item(str(name(x.item.token)), x.item[1])) for x in state.late)
    return State(named, slots, tuple(sorted(state.orphans)), tuple(late))


class Found(NamedTuple):
    """What an exploration found."""

    states: int
    moves: int
    fault: str | None
    path: tuple[str, ...]
    """What led to the fault, in the order in which it happened."""


def explore(model: Model, most: int = 3_000_000) -> Found:
    """Visit every state that can be reached, or stop at the first fault: a shortest way to it."""
    start = canonical(model.start)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    frontier, moves = [start], 0
    while frontier:
        following = []
        for state in frontier:
            for what, raw in model.moves(state):
                moves += 1
                then = canonical(raw)
                if then in came_from:
                    continue
                came_from[then] = (state, what)
                fault = model.faults(then)
                if fault:
                    return Found(len(came_from), moves, fault, _path(came_from, then))
                following.append(then)
        frontier = following
        if len(came_from) > most:
            raise AssertionError(f"more than {most} states")
    return Found(len(came_from), moves, None, ())


def _path(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    path: list[str] = []
    at: tuple[State, str] | None = came_from[state]
    while at is not None:
        path.append(at[1])
        at = came_from[at[0]]
    return tuple(reversed(path))
