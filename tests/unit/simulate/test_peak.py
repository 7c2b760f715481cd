"""The largest of a window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.simulate.peak import Peak


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80), st.integers(1, 20))
def test_it_is_the_largest_of_the_last_ticks(values: list[int], ticks: int) -> None:
    peak = Peak(ticks)
    for tick, value in enumerate(values):
        assert peak.add(tick, value) == max(values[max(0, tick - ticks + 1) : tick + 1])
