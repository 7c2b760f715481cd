"""Faults of a single flight: cut at one exact moment, on any hop."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pg8000.native

from tests.chaos.cut import (
    Cut,
    Flight,
    Harm,
    Moment,
    is_begin,
    is_commit,
    is_lone_write,
    is_read,
    is_write,
)
from tests.chaos.fault import ALL, TRANSACTIONS, Fault
from tests.chaos.hop import Hop
from tests.chaos.link import End, Link
from tests.chaos.world import World

STRUCK_WITHIN_S = 1.0


def end_link(how: End) -> Harm:
    """End the link."""
    return lambda link: link.hop.call(link.end, how)


def silence(link: Link) -> None:
    """Let the link go half-open."""
    link.hop.call(link.fall_silent)


def cuts(
    wants: Callable[[Flight], bool],
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
    def harm(link: Link) -> None:
        try:
            world.terminate_at(link.server_port)
        except (pg8000.native.Error, OSError):  # another fault has ended the whole server
            link.hop.call(link.end, End.CLOSE)

    return harm


def _at_server(world: World) -> tuple[Hop, ...]:
    return world.to_server, world.direct


BROKEN = [_ends(End.CLOSE), _ends(End.RESET)]

FLIGHTS = (
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
    Fault(
        name="read lost on its way",
        strike=cuts(is_read, Moment.BEFORE, BROKEN),
        survives=ALL - {"read"},  # which is sent again once, and may be struck once more
        resolves=frozenset({"read"}),
    ),
    Fault(
        name="read's answer lost",
        strike=cuts(is_read, Moment.AFTER, BROKEN),
        survives=ALL - {"read"},
        resolves=frozenset({"read"}),
    ),
)
