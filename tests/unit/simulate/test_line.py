"""First come, first served, and nobody is lost."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from broker.simulate.line import Cohort, Line, split

steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=3),
        st.integers(0, 40),
    ),
    max_size=30,
)


@given(steps, st.integers(0, 9))
def test_who_joined_first_leaves_first_and_nobody_is_lost(
    happening: list[tuple[list[tuple[int, int]], int]], seed: int
) -> None:
    line = Line(np.random.default_rng(seed))
    joined: Counter[int] = Counter()
    left: Counter[int] = Counter()
    last = -1
    for tick, (cohorts, count) in enumerate(happening):
        for application, some in cohorts:
            line.join(tick, Cohort(application, some))
            joined[application] += some
        there = line.count
        pieces = line.take(count)
        assert sum(piece.cohort.count for piece in pieces) == min(count, there)
        for piece in pieces:
            assert piece.joined >= last
            last = piece.joined
            left[piece.cohort.application] += piece.cohort.count
            assert 0 <= piece.first <= piece.last <= 1
            assert 0 <= piece.begun <= piece.ended <= 1
        if line.count:
            assert line.oldest is not None
            assert line.oldest >= last
    for piece in line.take(line.count):
        left[piece.cohort.application] += piece.cohort.count
    assert +left == +joined
    assert (line.count, line.oldest) == (0, None)


def test_those_of_one_tick_leave_in_any_order_of_applications() -> None:
    line = Line(np.random.default_rng(1))
    line.join(0, Cohort(0, 5000))
    line.join(0, Cohort(1, 5000))
    counts = {piece.cohort.application: piece.cohort.count for piece in line.take(1000)}
    assert 400 < counts[0] < 600
    assert counts[0] + counts[1] == 1000


def test_places_in_line_follow_each_other() -> None:
    line = Line(np.random.default_rng(1))
    line.join(0, Cohort(0, 10))
    line.join(1, Cohort(0, 10))
    [first] = line.take(4)
    assert (first.joined, first.first, first.last, first.begun, first.ended) == (0, 0, 0.4, 0, 1)
    rest, second = line.take(12)
    assert (rest.joined, rest.first, rest.last, rest.begun, rest.ended) == (0, 0.4, 1, 0, 0.5)
    assert (second.joined, second.first, second.last) == (1, 0, 0.6)


def test_who_waits_for_too_long_leaves_and_the_others_stay() -> None:
    line = Line(np.random.default_rng(1))
    for tick in range(5):
        line.join(tick, Cohort(0, 10, before_s=tick))
    late = line.expire(2)
    assert [(piece.joined, piece.cohort.count) for piece in late] == [(0, 10), (1, 10), (2, 10)]
    assert [piece.cohort.before_s for piece in late] == [0, 1, 2]
    assert (line.count, line.oldest) == (20, 3)


@given(st.lists(st.integers(1, 9), max_size=5), st.integers(0, 60))
def test_a_split_loses_nobody(counts: list[int], count: int) -> None:
    cohorts = [Cohort(number, some) for number, some in enumerate(counts)]
    first, others = split(cohorts, count)
    assert sum(each.count for each in first) == min(count, sum(counts))
    assert sum(each.count for each in (*first, *others)) == sum(counts)
