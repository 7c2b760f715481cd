"""Faults of environments: frozen, killed, timed out, with their clock set."""

from __future__ import annotations

import contextlib
import time
from random import Random

from broker.local.fleet_errors import UnknownEnvironment
from tests.chaos.cut import Harm, Moment, is_commit
from tests.chaos.fault import ALL, Fault
from tests.chaos.flights import cuts
from tests.chaos.hop import Hop
from tests.chaos.link import Link
from tests.chaos.load import Event
from tests.chaos.network import resets_the_idle
from tests.chaos.world import TIMEOUT_S, World

FROZEN_S = 0.25
HANGING_SHARE = 0.05
LEAPS_S = (0.5, 60.0, 3_600.0, 86_400.0)
LATEST_LEAP = 30  # readings of the clock; an invocation makes some 25
JUMPS_S = (-86_400.0, -3_600.0, -1.0, 1.0, 60.0, 3_600.0, 86_400.0)


def _frozen_briefly(world: World, rng: Random) -> int:
    busy = world.busy()
    for one in busy[:2]:
        with contextlib.suppress(UnknownEnvironment):
            world.fleet.freeze(one.id)
    time.sleep(FROZEN_S)
    for one in busy[:2]:
        with contextlib.suppress(UnknownEnvironment):
            world.fleet.thaw(one.id)
    return len(busy[:2])


def _frozen_for_good(world: World, rng: Random) -> int:
    """Lambda ends it when its time is out; nothing tells the server before."""
    busy = world.busy()
    if not busy:
        return 0
    one = rng.choice(busy)
    world.excused.add(one.id)
    with contextlib.suppress(UnknownEnvironment):
        world.fleet.freeze(one.id)
    return 1


def _killed(world: World, rng: Random) -> int:
    busy = world.busy()
    if not busy:
        return 0
    one = rng.choice(busy)
    world.excused.add(one.id)
    with contextlib.suppress(UnknownEnvironment):
        world.fleet.kill(one.id)
    return 1


def _freezes(world: World) -> Harm:
    def harm(link: Link) -> None:
        one = world.environment_at(link.client_port)
        if one is not None:
            with contextlib.suppress(UnknownEnvironment):
                world.fleet.freeze(one.id)
                world.thaw_later(one.id, FROZEN_S)

    return harm


def _kills(world: World) -> Harm:
    def harm(link: Link) -> None:
        one = world.environment_at(link.client_port)
        if one is not None:
            world.excused.add(one.id)
            with contextlib.suppress(UnknownEnvironment):
                world.fleet.kill(one.id)

    return harm


def _of_clients(world: World) -> tuple[Hop, ...]:
    return world.to_pooler, world.direct


def _hangs(event: Event, rng: Random) -> int:
    if rng.random() > HANGING_SHARE:
        return 0
    event["hang_s"] = TIMEOUT_S + 1
    return 1


def _clock_set(event: Event, rng: Random) -> int:
    event["jump_s"] = rng.choice(JUMPS_S)
    return 1


def _leapt_while_frozen(event: Event, rng: Random) -> int:
    """Let the monotonic clock not have counted the freeze, or too much of it."""
    if rng.random() < 0.5:
        event["stood_still"] = True
    else:
        event["leapt_s"] = rng.choice(LEAPS_S)
    return 1


def _leaps(event: Event, rng: Random) -> int:
    """Let it leap at one of its readings: that may pass the deadline, and do nothing else."""
    event["leap"] = [rng.randint(0, LATEST_LEAP), rng.choice(LEAPS_S)]
    return 1


LIFECYCLE = (
    Fault(name="environment frozen and thawed", strike=_frozen_briefly, survives=ALL),
    Fault(
        name="frozen between COMMIT and its answer",
        strike=cuts(is_commit, Moment.BEFORE, [_freezes], _of_clients, goes_on=True),
        survives=ALL,
    ),
    Fault(name="environment frozen for good", strike=_frozen_for_good, gap_s=0.7, weight=0.3),
    Fault(name="environment killed", strike=_killed, gap_s=0.1),
    Fault(
        name="environment killed at COMMIT, before it ran",
        strike=cuts(is_commit, Moment.BEFORE, [_kills], _of_clients, goes_on=True),
        gap_s=0.1,
    ),
    Fault(
        name="environment killed at COMMIT, after it ran",
        strike=cuts(is_commit, Moment.AFTER, [_kills], _of_clients),
        gap_s=0.1,
    ),
    Fault(name="invocation timed out inside a transaction", bend=_hangs, weight=0.3),
    Fault(name="clock set forward and back", bend=_clock_set, survives=ALL),
    Fault(
        name="monotonic clock stood still or leapt while frozen",
        strike=resets_the_idle,
        bend=_leapt_while_frozen,
        at_rest=True,
        survives=ALL,
        prompt=True,
    ),
    Fault(name="monotonic clock leaps under way", bend=_leaps, survives=ALL),
)
