"""Each idle session is used, looked at or retired, for a reason with its numbers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from broker.deadline import Instant
from broker.reuse import LIFETIME_JITTER, Action, Policy, Reason, Verdict, judge, lifetime_s
from tests.unit.fakes import FakeClock, FixedRandom

POLICY = Policy(fresh_s=0.1, probe_s=60, idle_timeout_s=240, lifetime_s=600)
seconds = st.floats(min_value=0, max_value=1e6)
policies = st.builds(
    lambda fresh_s, more_s, most_s, life_s: Policy(
        fresh_s, fresh_s + more_s, fresh_s + more_s + most_s, life_s
    ),
    seconds,
    seconds,
    seconds,
    st.floats(min_value=0.001, max_value=1e6),
)


def verdict_on(idle_s: float, age_s: float = 0.0, policy: Policy = POLICY) -> Verdict:
    return judge(Instant(idle_s, 0.0), Instant(0.0, 0.0), policy.lifetime_s, age_s, policy)


@given(idle_s=seconds, age_s=seconds, policy=policies)
def test_a_session_is_used_only_if_each_of_its_numbers_is_within_its_limit(idle_s, age_s, policy):
    verdict = verdict_on(idle_s, age_s, policy)

    alive = age_s <= policy.lifetime_s and idle_s <= policy.idle_timeout_s
    assert (verdict.action is Action.RETIRE) == (not alive)
    if alive:
        assert (verdict.action is Action.USE) == (idle_s <= policy.fresh_s)
        assert (verdict.action is Action.PROBE) == (idle_s > policy.probe_s)


@given(idle_s=seconds, age_s=seconds, policy=policies)
def test_a_verdict_carries_the_number_and_the_limit_that_decided_it(idle_s, age_s, policy):
    verdict = verdict_on(idle_s, age_s, policy)

    number, limit, exceeded = {
        Reason.LIFETIME_OVER: (age_s, policy.lifetime_s, True),
        Reason.IDLE_TOO_LONG: (idle_s, policy.idle_timeout_s, True),
        Reason.RESTED: (idle_s, policy.probe_s, True),
        Reason.SETTLED: (idle_s, policy.fresh_s, True),
        Reason.FRESH: (idle_s, policy.fresh_s, False),
    }[verdict.reason]
    assert (verdict.seconds, verdict.limit_s) == (number, limit)
    assert (number > limit) == exceeded


@given(more_s=seconds, idle_s=seconds, age_s=seconds, policy=policies)
def test_waiting_longer_never_makes_a_session_more_trusted(more_s, idle_s, age_s, policy):
    trust = [Action.RETIRE, Action.PROBE, Action.LOOK, Action.USE]

    now = trust.index(verdict_on(idle_s, age_s, policy).action)
    later = trust.index(verdict_on(idle_s + more_s, age_s + more_s, policy).action)

    assert later <= now


def test_the_limits_themselves_are_still_within():
    assert verdict_on(0.1).action is Action.USE
    assert verdict_on(60).action is Action.LOOK
    assert verdict_on(240).action is Action.PROBE
    assert verdict_on(0, age_s=600).action is Action.USE


def test_an_environment_that_was_frozen_for_an_hour_does_not_trust_its_session():
    clock = FakeClock()
    last_used = clock.now()
    clock.freeze(3600)

    verdict = judge(clock.now(), last_used, 1e9, 0.0, POLICY)

    assert verdict.reason is Reason.IDLE_TOO_LONG


@given(seed=st.integers(), policy=policies)
def test_a_life_is_the_policys_give_or_take_the_jitter(seed, policy):
    life_s = lifetime_s(policy, random.Random(seed))

    low, high = (policy.lifetime_s * (1 + sign * LIFETIME_JITTER) for sign in (-1, 1))
    assert low <= life_s <= high


def test_sessions_opened_in_one_burst_do_not_end_in_one():
    rng = random.Random(1)

    lives = {lifetime_s(POLICY, rng) for _ in range(50)}

    assert len(lives) == 50
    assert max(lives) - min(lives) > POLICY.lifetime_s * LIFETIME_JITTER
    assert lifetime_s(POLICY, FixedRandom(0.5)) == POLICY.lifetime_s
