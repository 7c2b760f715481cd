"""The cap holds in every state that the model can reach, and each rule is needed for it."""

from __future__ import annotations

import pytest

from tests.unit.cap.model import Model, explore

SIZES = [
    Model(late=1, life=6),
    Model(environments=3, late=0, life=7),
    Model(environments=3, cap=2, late=0, life=3, afterlife=1, skew=0),
    Model(environments=2, cap=1, late=1, life=7, skew=0, afterlife=3),
]
RULES = {
    "thaw": "a session is used without a look at its lease",
    "lost": "a session is used although its lease is found to be another's",
    "use": "the length of a use is not counted",
    "afterlife": "the server's timeouts are not counted: the lease is shorter than they are",
    "skew": "the clocks' skew is not counted",
    "end": "a slot is given back before its session has surely ended",
    "fence": "a give-back does not look whose lease it deletes",
    "monotone": "a renewal that comes late shortens a lease",
    "duplicate": "a repeated take that comes late shortens a lease",
}


@pytest.mark.parametrize("model", SIZES, ids=str)
def test_no_state_that_can_be_reached_has_more_living_sessions_than_the_cap(model: Model) -> None:
    found = explore(model)
    assert found.fault is None, "\n".join(found.path)
    assert found.states > 1_000


@pytest.mark.parametrize("rule", RULES, ids=RULES.get)
def test_without_the_rule_the_cap_is_exceeded(rule: str) -> None:
    found = explore(Model(broken=frozenset((rule,))))
    assert found.fault is not None, f"{rule} is not needed"
    assert "sessions live" in found.fault


def test_the_inequality_is_exact_so_that_one_tick_less_exceeds_the_cap() -> None:
    assert explore(Model(margin=-1)).fault is not None
