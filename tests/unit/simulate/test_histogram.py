"""Latencies by quantile, right to the bins' width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.simulate.histogram import Histogram
from tests.unit.simulate.quantiles import quantile


@given(st.lists(st.floats(1e-4, 900), min_size=1, max_size=300), st.sampled_from([0.01, 0.5, 0.99]))
def test_a_quantile_is_right_to_one_percent(values: list[float], share: float) -> None:
    histogram = Histogram()
    histogram.add(np.array(values), 1.0)
    found = histogram.quantile(share)
    assert found is not None
    ordered = sorted(values)
    place = max(0, int(np.ceil(share * len(ordered))) - 1)
    assert found == pytest.approx(ordered[place], rel=0.0101)


def test_a_sum_has_all_of_both_and_weights_count() -> None:
    one, other = Histogram(), Histogram()
    one.add(np.full(10, 0.001), 9.0)
    other.add(np.full(10, 1.0), 1.0)
    total = one + other
    assert total.count == 100
    assert total.quantile(0.89) == pytest.approx(0.001, rel=0.02)
    assert total.quantile(0.91) == pytest.approx(1.0, rel=0.02)
    assert one.count == 90
    assert quantile([3, 1, 2], 0.5) == 2


def test_nothing_has_no_quantile_and_the_longest_wait_still_counts() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    histogram.add(np.array([0.0, 1e12]), 1.0)
    assert histogram.count == 2
