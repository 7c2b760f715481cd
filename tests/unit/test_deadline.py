"""A deadline tells what is left, and time that passed in a freeze is not forgotten."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from broker.deadline import SYSTEM_CLOCK, Deadline, Instant
from tests.unit.fakes import FakeClock

moments = st.floats(min_value=-1e9, max_value=1e9)
spans = st.floats(min_value=-1e6, max_value=1e6)


@given(moments, moments, moments, moments)
def test_elapsed_time_is_never_less_than_either_clock_says_nor_below_zero(m1, w1, m2, w2):
    elapsed = Instant(m2, w2).since(Instant(m1, w1))

    assert elapsed >= 0
    assert elapsed >= m2 - m1
    assert elapsed >= w2 - w1
    assert elapsed in (0.0, m2 - m1, w2 - w1)


def test_a_freeze_that_only_the_wall_clock_saw_counts():
    clock = FakeClock()
    before = clock.now()
    clock.freeze(3600)

    assert clock.now().since(before) == 3600


def test_a_wall_clock_that_is_set_back_takes_nothing_from_the_elapsed_time():
    clock = FakeClock()
    before = clock.now()
    clock.advance(5)
    clock.freeze(-3600)

    assert clock.now().since(before) == 5


def test_a_deadline_counts_down_on_the_monotonic_clock_alone():
    clock = FakeClock()
    deadline = Deadline.after(10, clock)
    clock.advance(4)
    clock.freeze(3600)

    assert deadline.remaining_s() == 6


def test_a_deadline_has_passed_when_nothing_is_left():
    clock = FakeClock()
    deadline = Deadline.after(10, clock)
    clock.advance(9.5)
    assert not deadline.passed()
    clock.advance(0.5)

    assert deadline.passed()
    assert repr(deadline) == "<Deadline in 0.000 s>"


@given(spans, spans)
def test_within_is_the_earlier_of_both_and_never_prolongs(left_s, seconds):
    clock = FakeClock()
    outer = Deadline.after(left_s, clock)
    inner = outer.within(seconds)

    assert inner.at_s == min(outer.at_s, clock.monotonic() + seconds)
    assert inner.remaining_s() <= outer.remaining_s()


@given(spans)
def test_within_goes_on_counting_on_the_same_clock(seconds):
    clock = FakeClock()
    inner = Deadline.after(1e7, clock).within(seconds)
    before = inner.remaining_s()
    clock.advance(3)

    assert math.isclose(inner.remaining_s(), before - 3, abs_tol=1e-6)


def test_never_does_not_come():
    assert Deadline.never().remaining_s() == math.inf
    assert not Deadline.never().passed()
    assert repr(Deadline.never()) == "<Deadline in inf s>"


def test_the_machines_clock_is_one_clock():
    first = SYSTEM_CLOCK.now()

    assert SYSTEM_CLOCK.monotonic() >= first.monotonic_s
    assert SYSTEM_CLOCK.now().since(first) >= 0
