"""Faults of the network: on every hop, at every moment."""

from __future__ import annotations

import time
from random import Random

from tests.chaos.fault import ALL, Fault
from tests.chaos.link import End, Link
from tests.chaos.load import Event
from tests.chaos.world import SETTLED_S, World

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


def resets_the_idle(world: World, rng: Random) -> int:
    """End what is idle, and let some time pass before it is used again."""
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


NETWORK = (
    Fault(name="connection closed or reset", strike=_resets),
    Fault(
        name="connection reset while idle",
        strike=resets_the_idle,
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
)
