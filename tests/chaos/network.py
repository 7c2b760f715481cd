"""Faults of the network: on every hop, at every moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from tests.chaos.cut import Cut, Harm, Moment, is_begin, is_commit, is_lone_write, is_write
from tests.chaos.fault import ALL, TRANSACTIONS, Fault
from tests.chaos.hop import End, Hop, Link
from tests.chaos.load import Event
from tests.chaos.world import World

STRUCK_WITHIN_S = 1.0
SETTLED_S = 0.15  # above BROKER_FRESH_S: sessions are looked at before they are used
LONG_AGO_S = 120.0  # what the clock is set ahead by, for a session to look long idle


def _some_links(world: World, rng: Random) -> list[Link]:
    links = rng.choice(world.hops).links()
    return rng.sample(links, min(len(links), rng.randint(1, 3)))


def _resets(world: World, rng: Random) -> int:
    links = _some_links(world, rng)
    for link in links:
        link.hop.call(link.end, rng.choice(list(End)))
    return len(links)


def _goes_silent(world: World, rng: Random) -> int:
    links = _some_links(world, rng)[:1]
    for link in links:
        link.hop.call(link.fall_silent)
    return len(links)


def _stalls(world: World, rng: Random) -> int:
    links = _some_links(world, rng)
    for link in links:
        link.hop.call(link.pause)
    time.sleep(rng.uniform(0.02, 0.4))
    for link in links:
        link.hop.call(link.go_on)
    return len(links)


def _trickles(world: World, rng: Random) -> int:
    links = [link for hop in world.hops for link in hop.links()]
    for link in links:
        link.trickling = True
    time.sleep(rng.uniform(0.05, 0.3))
    for link in links:
        link.trickling = rng.random() < 0.5
    return len(links)


def clients_links(world: World) -> list[Link]:
    """Return the links of environments."""
    return [link for hop in (world.to_pooler, world.direct) for link in hop.links()]


def _resets_the_idle(world: World, rng: Random) -> int:
    links = clients_links(world)
    for link in links:
        link.hop.call(link.end, rng.choice(list(End)))
    time.sleep(SETTLED_S)
    return len(links)


def _resets_the_fresh(world: World, rng: Random) -> int:
    """Reset what was used a moment ago, and is therefore used again without a look."""
    links = clients_links(world)
    for link in links:
        link.hop.call(link.end, End.RESET)
    return len(links)


def _silences_the_idle(world: World, rng: Random) -> int:
    links = clients_links(world)
    for link in links:
        link.hop.call(link.fall_silent)
    return len(links)


def _long_idle(event: Event, rng: Random) -> int:
    event["jump_s"] = LONG_AGO_S
    return 0


def end_link(how: End) -> Harm:
    """End the link."""
    return lambda link: link.hop.call(link.end, how)


def silence(link: Link) -> None:
    """Let the link go half-open."""
    link.hop.call(link.fall_silent)


def cuts(
    wants: Callable[[str], bool],
    moment: Moment,
    harms: list[Callable[[World], Harm]],
    hops: Callable[[World], tuple[Hop, ...]] = lambda world: world.hops,
    *,
    goes_on: bool = False,
) -> Callable[[World, Random], int]:
    """Return the strike that cuts one flight, on one of these hops, in one of these ways."""

    def strike(world: World, rng: Random) -> int:
        hop = rng.choice(hops(world))
        cut = hop.arm(Cut(wants, moment, rng.choice(harms)(world), goes_on))
        hit = cut.struck.wait(STRUCK_WITHIN_S)
        hop.disarm()
        return hit or cut.struck.is_set()

    return strike


def _ends(how: End) -> Callable[[World], Harm]:
    return lambda _: end_link(how)


def _silence(_: World) -> Harm:
    return silence


def _kills_backend(world: World) -> Harm:
    return lambda link: world.terminate_at(link.server_port)


def _at_server(world: World) -> tuple[Hop, ...]:
    return world.to_server, world.direct


BROKEN = [_ends(End.CLOSE), _ends(End.RESET)]

NETWORK = (
    Fault(name="connection closed or reset", strike=_resets),
    Fault(
        name="connection reset while idle",
        strike=_resets_the_idle,
        at_rest=True,
        survives=ALL,
    ),
    Fault(
        name="connection reset a moment after its use",
        strike=_resets_the_fresh,
        at_rest=True,
        survives=ALL,
    ),
    Fault(name="half-open connection", strike=_goes_silent, gap_s=0.6, weight=0.4),
    Fault(
        name="half-open while long idle",
        strike=_silences_the_idle,
        bend=_long_idle,
        at_rest=True,
        survives=ALL,
        prompt=True,
        weight=0.3,
    ),
    Fault(name="stalled answers", strike=_stalls, survives=ALL),
    Fault(name="answers byte by byte", strike=_trickles, survives=ALL),
    Fault(
        name="COMMIT lost on its way",
        strike=cuts(is_commit, Moment.BEFORE, BROKEN),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="COMMIT's answer lost",
        strike=cuts(is_commit, Moment.AFTER, BROKEN),
        survives=ALL,
    ),
    Fault(
        name="silence after COMMIT",
        strike=cuts(is_commit, Moment.AFTER, [_silence]),
        gap_s=0.6,
        weight=0.4,
    ),
    Fault(
        name="silence before COMMIT",
        strike=cuts(is_commit, Moment.BEFORE, [_silence]),
        gap_s=0.6,
        weight=0.4,
    ),
    Fault(
        name="backend killed before COMMIT ran",
        strike=cuts(is_commit, Moment.BEFORE, [_kills_backend], _at_server, goes_on=True),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="backend killed after COMMIT ran",
        strike=cuts(is_commit, Moment.AFTER, [_kills_backend], _at_server, goes_on=True),
        survives=ALL,
    ),
    Fault(
        name="BEGIN's flight lost",
        strike=cuts(is_begin, Moment.BEFORE, BROKEN),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="BEGIN's answer lost",
        strike=cuts(is_begin, Moment.AFTER, BROKEN),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="transaction's write lost on its way",
        strike=cuts(is_write, Moment.BEFORE, BROKEN),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="transaction's write's answer lost",
        strike=cuts(is_write, Moment.AFTER, BROKEN),
        survives=ALL - TRANSACTIONS,
        resolves=TRANSACTIONS,
    ),
    Fault(
        name="autocommit write lost on its way",
        strike=cuts(is_lone_write, Moment.BEFORE, BROKEN),
        survives=ALL - {"run"},
    ),
    Fault(
        name="autocommit write's answer lost",
        strike=cuts(is_lone_write, Moment.AFTER, BROKEN),
        survives=ALL - {"run"},
    ),
)
