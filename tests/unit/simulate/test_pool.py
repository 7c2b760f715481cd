"""One pool: its sessions, its reserve, its queue's limit, and a server that is full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.simulate.backends import Backends
from broker.simulate.histogram import Histogram
from broker.simulate.line import Cohort
from broker.simulate.pool import Limits, Pool
from broker.simulate.service_time import ServiceTime
from broker.simulate.serving import fit

MANY = 10_000
TIME = ServiceTime.of(0.02, None)


def pool(limits: Limits, tick_s: float, room: int = 1000, *times: ServiceTime) -> Pool:
    return Pool(limits, times or (TIME,), Backends(room), np.random.default_rng(1), tick_s)


def test_a_full_pool_serves_what_its_sessions_can_and_no_more() -> None:
    made, latencies = pool(Limits(25), 0.01), Histogram()
    answered = 0
    for tick in range(1000):
        answered += made.step(tick, [Cohort(0, 50)], MANY, latencies).answered[0]
    assert answered == pytest.approx(25 / 0.02 * 10, rel=0.02)
    assert (made.serving.active, made.sessions) == (25, 25)


def test_the_reserve_helps_after_its_time_and_is_given_back_when_it_is_not_needed() -> None:
    limits = Limits(25, reserve=5, reserve_wait_s=3.0, keep_s=10.0)
    made, latencies, tick_s = pool(limits, 0.1), Histogram(), 0.1
    sessions = []
    for tick in range(600):
        arriving = [Cohort(0, 200)] if tick < 150 else []
        made.step(tick, arriving, MANY, latencies)
        sessions.append(made.sessions)
    opened = sessions.index(30) * tick_s
    first_in_line_waits_s = opened * (1 - 1250 / 2000)  # of 2,000 a second 1,250 are served
    assert first_in_line_waits_s == pytest.approx(3.0, abs=0.2)
    assert max(sessions) == 30
    assert sessions[-1] == 0
    made.step(600, [Cohort(0, 1000)], MANY, latencies)
    assert made.sessions == 25


def test_who_waits_for_too_long_is_told_so_and_was_first_in_line() -> None:
    made, latencies = pool(Limits(1, wait_s=1.0), 0.1), Histogram()
    late = []
    for tick in range(40):
        arriving = [Cohort(0, 100)] if tick < 20 else []
        done = made.step(tick, arriving, MANY, latencies)
        late += [(tick, piece.joined) for piece in done.late]
    assert late
    assert all(tick - joined == 10 for tick, joined in late)
    longest = latencies.quantile(1.0)
    assert longest is not None
    assert longest < 1.0 + 0.1 + 0.2  # the queue's limit, a tick, and its own service


def test_a_server_that_is_full_gives_the_pool_fewer_sessions_and_a_53300_a_second() -> None:
    made, latencies = pool(Limits(25), 0.1, 10), Histogram()
    refusals = 0
    for tick in range(100):
        made.step(tick, [Cohort(0, 200)], MANY, latencies)
        refusals += made.take_refusals()
    assert made.sessions == 10
    assert refusals == 10
    calm = pool(Limits(25), 0.1, 25)
    calm.step(0, [Cohort(0, 10_000)], MANY, latencies)
    assert calm.take_refusals() == 0


def test_a_server_without_any_room_serves_nobody() -> None:
    made, latencies = pool(Limits(25, wait_s=1.0), 0.1, 0), Histogram()
    late = 0
    for tick in range(20):
        done = made.step(tick, [Cohort(0, 3)] if not tick else [], MANY, latencies)
        assert done.answered == [0]
        late += sum(piece.cohort.count for piece in done.late)
    assert (late, made.sessions, made.waiting) == (3, 0, 0)


def test_applications_that_share_a_pool_wait_together_and_are_served_for_their_own_time() -> None:
    quick, slow = ServiceTime.of(0.006, 0.025), ServiceTime.of(0.05, 0.2)
    made = pool(Limits(25), 0.01, 1000, quick, slow)
    answered = [0, 0]
    for tick in range(2000):
        done = made.step(tick, [Cohort(0, 40), Cohort(1, 20)], MANY, Histogram())
        answered = [a + b for a, b in zip(answered, done.answered, strict=True)]
    assert answered[0] == pytest.approx(2 * answered[1], rel=0.05)  # as they came
    work = answered[0] * 0.006 + answered[1] * 0.05
    assert work == pytest.approx(25 * 20, rel=0.05)


@given(
    st.sampled_from([0.002, 0.05, 1.0]),
    st.integers(1, 40),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), min_size=1, max_size=40),
    st.integers(0, 60),
    st.integers(0, 9),
)
def test_nobody_is_lost_and_no_session_is_too_many(
    tick_s: float,
    size: int,
    reserve: int,
    arrivals: list[tuple[int, int]],
    room: int,
    seed: int,
) -> None:
    limits = Limits(size, reserve, reserve_wait_s=3 * tick_s, wait_s=9 * tick_s, keep_s=5 * tick_s)
    times = (TIME, ServiceTime.of(0.2, 0.4))
    backends = Backends(room)
    made = Pool(limits, times, backends, np.random.default_rng(seed), tick_s)
    asked, done, late = [0, 0], [0, 0], [0, 0]
    for tick, counts in enumerate(arrivals):
        cohorts = [Cohort(number, count) for number, count in enumerate(counts) if count]
        step = made.step(tick, cohorts, MANY, Histogram())
        for number, count in enumerate(counts):
            asked[number] += count
            done[number] += step.answered[number]
            assert step.answered[number] >= 0
        for piece in step.late:
            late[piece.cohort.application] += piece.cohort.count
        assert made.serving.active <= made.sessions <= min(size + reserve, room)
        assert backends.open == made.sessions
    for number in range(2):
        assert asked[number] == done[number] + late[number] + made.there(number)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=4),
    st.integers(0, 200),
)
def test_a_fit_is_as_large_as_it_may_be_and_no_part_is_too_large(
    parts: list[tuple[int, int]], total: int
) -> None:
    counts = [min(pair) for pair in parts]
    most = [max(pair) for pair in parts]
    found = fit(counts, most, total)
    assert sum(found) == min(total, sum(most))
    assert all(0 <= each <= limit for each, limit in zip(found, most, strict=True))
