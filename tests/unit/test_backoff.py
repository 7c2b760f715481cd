"""Waits grow, are spread evenly, and never exceed their cap."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.backoff import BASE_S, CAP_S, delay_s
from tests.unit.fakes import FixedRandom

attempts = st.integers(min_value=0, max_value=10**6)
seconds = st.floats(min_value=1e-6, max_value=1e3)


@given(attempt=attempts, seed=st.integers(), base_s=seconds, cap_s=seconds)
def test_no_wait_is_negative_or_above_the_cap(attempt, seed, base_s, cap_s):
    wait_s = delay_s(attempt, random.Random(seed), base_s=base_s, cap_s=cap_s)

    assert 0 <= wait_s <= cap_s


@given(attempt=attempts)
def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap(attempt):
    longest = delay_s(attempt, FixedRandom(1.0))

    assert longest == min(CAP_S, BASE_S * 2.0 ** min(attempt, 100))


@given(attempt=attempts, share=st.floats(min_value=0, max_value=1))
def test_the_jitter_is_full_so_that_any_share_of_the_wait_may_be_drawn(attempt, share):
    longest = delay_s(attempt, FixedRandom(1.0))

    assert delay_s(attempt, FixedRandom(share)) == pytest.approx(share * longest)


def test_the_same_seed_draws_the_same_waits():
    def drawn(seed: int) -> list[float]:
        rng = random.Random(seed)
        return [delay_s(attempt, rng) for attempt in range(8)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
