"""A short campaign: every fault once, and the suite itself against libraries that are broken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.chaos import campaign, inspection
from tests.chaos.campaign import Campaign
from tests.chaos.inspection import Breach
from tests.chaos.ledger import Wrong
from tests.chaos.plan import CALM, FAULTS, Round, brief
from tests.chaos.vitals import AVAILABLE
from tests.chaos.world import DIRECT, POOLED, World

SEED = 20_250
INVOCATIONS = 18  # of each round
numbers = itertools.count(500)  # no round may find the rows of another
CLIENTS = {POOLED: 4, DIRECT: 2}
ONE_EACH = sum(CLIENTS.values())
ROUNDS = 6


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Start everything once: a healed world is as good as a new one."""
    with World(CLIENTS) as started:
        yield started


@pytest.mark.slow
def test_no_fault_makes_the_library_lose_double_hide_or_hang(world: World) -> None:
    """Every fault, alone where it has promises of its own; `make chaos` is the long run."""
    rounds = brief(SEED, INVOCATIONS)
    done = campaign.run(world, SEED, rounds)
    found = [f"{each.round.name}: {one}" for each in done.results for one in each.findings]
    assert found == [], f"seed {SEED}"
    missed = {fault.name for fault in FAULTS} - {
        name for each in done.results for name, times in each.injected.items() if times
    }
    assert missed == set(), "these hit nothing, so that they proved nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "fault", "breach"),
    [
        ("replays", "autocommit write's answer lost", Wrong.DOUBLED),
        ("trusts", "COMMIT lost on its way", Wrong.LOST),
        ("denies", "autocommit write's answer lost", Wrong.KEPT),
        ("mixes_up", CALM.name, Breach.FOREIGN),
        ("stays_open", CALM.name, Breach.OPEN),
        pytest.param(
            *("leaks", "stalled answers", Breach.LEAKED),
            marks=pytest.mark.skipif(not AVAILABLE, reason="there is no /proc to count in"),
        ),
        ("overstays", CALM.name, Breach.LATE),
        ("escapes", CALM.name, Breach.RAW),
    ],
)
def test_a_library_that_breaks_a_promise_is_caught(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    fault: str,
    breach: Breach | Wrong,
) -> None:
    monkeypatch.setattr(inspection, "SETTLES_WITHIN_S", 1.0)
    healthy = Campaign(world, SEED)
    world.deploy()
    healthy.run(Round(next(numbers), (CALM,), ONE_EACH))
    [meant] = [each for each in (CALM, *FAULTS) if each.name == fault]
    world.deploy(handler="broken.handler", BREAK=broken)
    try:
        found: set[Breach | Wrong] = set()
        for _ in range(ROUNDS):  # a fault hits by chance
            result = healthy.run(Round(next(numbers), (meant,), ONE_EACH))
            found |= {one.what for one in result.findings}
            if breach in found:
                break
    finally:
        world.deploy()
        world.fleet.retire_old()
    assert breach in found
