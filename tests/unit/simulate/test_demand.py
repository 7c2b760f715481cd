"""Environments that a tick's requests need, in short ticks and in long ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.plan import queueing
from broker.simulate.demand import Demand

INF = math.inf


def test_in_a_short_tick_each_request_needs_an_environment_of_its_own() -> None:
    demand = Demand(10, 0, 5, INF, hold_s=10.0, tick_s=0.001)
    assert demand.peak() == 15
    assert demand.lost(15) == 0
    assert demand.lost(12) == pytest.approx(3, abs=0.01)


def test_in_a_long_tick_they_follow_each_other() -> None:
    demand = Demand(5, 0, 900, INF, hold_s=0.006, tick_s=1.0, load=5.4)
    assert 10 < demand.peak() < 20  # around 5.4, with the swings of 166 looks
    assert demand.lost(100) == 0
    assert demand.lost(4) == pytest.approx(900 * queueing.erlang_b(5.4, 4), rel=0.01)


def test_a_pool_that_serves_no_more_keeps_them() -> None:
    demand = Demand(100, 0, 900, 300.0, hold_s=0.006, tick_s=1.0)
    assert demand.usual == 700
    assert demand.lost(600) == 100


@given(
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 2000),
    st.floats(1, 3000),
    st.floats(0.001, 20),
    st.sampled_from([0.001, 0.1, 1.0]),
    st.integers(1, 700),
)
def test_the_peak_and_the_loss_are_within_what_there_is(
    in_flight: int, held: int, asked: int, served: float, hold_s: float, tick_s: float, slots: int
) -> None:
    demand = Demand(
        in_flight, min(held, in_flight), asked, served, hold_s, tick_s, asked * hold_s / tick_s
    )
    assert in_flight <= demand.peak() <= in_flight + asked
    assert 0 <= demand.lost(slots) <= max(asked, demand.lost(slots))
    if in_flight + asked + 6 * math.sqrt(asked + in_flight) + asked * hold_s / tick_s < slots:
        assert demand.lost(slots) == pytest.approx(0, abs=1e-6)
