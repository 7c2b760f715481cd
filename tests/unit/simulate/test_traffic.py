"""The day's profile, bursts, and ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.simulate import Burst, Traffic
from broker.simulate.moment import read_burst, read_duration, read_moment, show_moment
from broker.simulate.traffic import BUSIEST_S, DAY_S


@given(st.floats(1, 50))
def test_a_day_has_its_peak_and_the_mean_that_was_given(peak: float) -> None:
    traffic = Traffic(peak=peak)
    moments = [DAY_S * n / 2000 for n in range(2000)]
    factors = [traffic.factor(moment) for moment in moments]
    assert sum(factors) / 2000 == pytest.approx(1, rel=1e-3)
    assert max(factors) == pytest.approx(peak, rel=1e-3)
    assert moments[factors.index(max(factors))] == pytest.approx(BUSIEST_S, abs=100) or peak < 1.01
    assert min(factors) >= 0


def test_a_burst_multiplies_while_it_lasts() -> None:
    traffic = Traffic(bursts=(Burst(10, 100, 50), Burst(2, 120, 10)))
    assert [traffic.factor(at) for at in (99, 100, 120, 129.9, 130, 150)] == [1, 10, 20, 20, 10, 1]


def test_a_tick_is_as_short_as_the_time_allows() -> None:
    assert Traffic().tick(0.006) == 1.0
    assert Traffic(duration_s=7 * DAY_S).tick(0.006) == 1.0
    assert Traffic(duration_s=DAY_S / 10).tick(0.006) == pytest.approx(0.1)
    assert Traffic(duration_s=1).tick(0.006) == 0.01
    assert Traffic(storm=True, duration_s=60).tick(0.016) == 0.002
    assert Traffic(tick_s=0.5).tick(0.006) == 0.5
    assert Traffic().tick(0.006, pools=16) == 4.0


@pytest.mark.parametrize(
    ("text", "burst"),
    [("10x@12:00+5min", Burst(10, 43_200, 300)), ("1.5x@00:00:30+10s", Burst(1.5, 30, 10))],
)
def test_a_burst_is_read(text: str, burst: Burst) -> None:
    assert read_burst(text) == burst


@pytest.mark.parametrize(
    "text",
    ["", "10x", "10x@12:00", "x@12:00+5min", "10x@12:60+5min", "10x@12:00+5", "10x@12:00+5 weeks",
     "0x@12:00+5min", "-1x@12:00+5min", "1e9x@12:00+5min", "999999x@12:00+5min"],
)  # fmt: skip
def test_what_is_no_burst_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w{2,} \w+"):
        read_burst(text)


def test_moments_and_durations_are_read_and_shown() -> None:
    assert read_moment("14:00") == BUSIEST_S
    assert read_moment("00:00:07") == 7
    assert read_duration("400 ms") == 0.4
    for bad in ("24", "1:2", "12:00pm", ""):
        with pytest.raises(ValueError, match="time of day"):
            read_moment(bad)
    for bad in ("5", "ms", "8000 h"):
        with pytest.raises(ValueError, match=r"unit|number|week"):
            read_duration(bad)
    assert show_moment(50_400, DAY_S) == "14:00"
    assert show_moment(50_430, DAY_S) == "14:00:30"
    assert show_moment(2.5, 60) == "2.5 s"
