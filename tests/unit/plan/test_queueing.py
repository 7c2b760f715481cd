"""Waiting times against known values and a simulated queue."""

from __future__ import annotations

import heapq
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.plan import queueing


@pytest.mark.parametrize(
    ("load", "servers", "chance"), [(0.5, 1, 0.5), (1.0, 2, 1 / 3), (8.0, 10, 0.4092), (5, 5, 1.0)]
)
def test_erlang_c_is_the_textbooks(load: float, servers: int, chance: float) -> None:
    assert queueing.erlang_c(load, servers) == pytest.approx(chance, abs=1e-4)


def test_the_tail_is_that_of_a_simulated_queue() -> None:
    rng, load, servers, wait_s = random.Random(3), 4.0, 5, 1.0
    free, now, late, arrivals = [0.0] * servers, 0.0, 0, 200_000
    for _ in range(arrivals):
        now += rng.expovariate(load)
        start = max(now, heapq.heappop(free))
        heapq.heappush(free, start + rng.expovariate(1.0))
        late += start - now > wait_s
    assert late / arrivals == pytest.approx(
        queueing.waits_longer(load, servers, 1.0, wait_s, 1.0), rel=0.1
    )


@given(st.floats(0.01, 300), st.floats(0.001, 2), st.floats(0.01, 1), st.floats(0.001, 0.2))
def test_what_is_needed_is_enough_and_no_more(
    load: float, mean_s: float, wait_s: float, chance: float
) -> None:
    needed = queueing.servers_needed(load, mean_s, wait_s, chance, 1.0)
    assert queueing.waits_longer(load, needed, mean_s, wait_s, 1.0) <= chance * (1 + 1e-9)
    fewer = needed - 1
    assert fewer <= load or queueing.waits_longer(load, fewer, mean_s, wait_s, 1.0) > chance


def test_the_p99_wait_is_where_the_tail_is_a_hundredth() -> None:
    p99 = queueing.wait_p99(9.0, 10, 0.05, 1.0)
    assert queueing.waits_longer(9.0, 10, 0.05, p99, 1.0) == pytest.approx(0.01)
    assert queueing.wait_p99(1.0, 25, 0.05, 1.0) == 0
    assert queueing.wait_p99(25.0, 25, 0.05, 1.0) == math.inf


def test_a_long_tail_and_a_mixture_wait_longer_than_the_exponential() -> None:
    assert queueing.spread([(1, 0.01, None)]) == 1
    assert queueing.spread([(1, 0.01, 0.02)]) == 1  # steadier than exponential: not relied upon
    assert queueing.spread([(1, 0.01, 0.10)]) > 1.2
    assert queueing.spread([(900, 0.005, None), (10, 0.5, None)]) > 2
