"""The gate's waits are Erlang's in a long tick, and the queue's growth in a short one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.plan import queueing
from broker.simulate.gate import Mix, Passage
from broker.simulate.service_time import ServiceTime


def stationary(servers: int, load: float, time: ServiceTime) -> np.ndarray:
    """Return waits met in ticks of a thousand mean times, from a typical start."""
    rng, mix, tick_s = np.random.default_rng(1), Mix.of([(1, time)]), 1000 * time.mean_s
    waits = []
    for _ in range(200):
        arriving = rng.poisson(load * tick_s / time.mean_s) * time.mean_s
        passage = Passage.through(
            rng, work=0.0, arriving=arriving, servers=servers, utilisation=load / servers,
            mix=mix, tick_s=tick_s,
        )  # fmt: skip
        waits.append(np.maximum(0.0, passage.at(rng, rng.uniform(0.2, 1, 200))) / servers)
    return np.concatenate(waits)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (5, 3.5), (25, 20.0), (25, 23.0)])
def test_long_ticks_give_erlangs_chance_and_mean(servers: int, load: float) -> None:
    mean_s = 0.02
    waits = stationary(servers, load, ServiceTime.of(mean_s, None))
    chance = queueing.erlang_c(load, servers)
    assert (waits > 0).mean() == pytest.approx(chance, rel=0.1)
    assert waits.mean() == pytest.approx(chance * mean_s / (servers - load), rel=0.1)
    assert np.quantile(waits, 0.99) == pytest.approx(
        queueing.wait_p99(load, servers, mean_s, 1.0), rel=0.12
    )


@pytest.mark.parametrize("p99_s", [0.0205, 0.1, 0.2])
def test_other_times_wait_longer_or_shorter_by_allen_and_cunneens_factor(p99_s: float) -> None:
    time = ServiceTime.of(0.02, p99_s)
    factor = (1 + queueing.cv2(0.02, p99_s)) / 2
    waits = stationary(25, 23.0, time)
    expected = queueing.erlang_c(23.0, 25) * 0.02 * factor / 2
    assert waits.mean() == pytest.approx(expected, rel=0.15)


def test_a_short_tick_under_overload_adds_what_comes_and_takes_what_is_served() -> None:
    rng, mix = np.random.default_rng(1), Mix.of([(1, ServiceTime.of(0.02, None))])
    work = 0.0
    for _ in range(1000):
        passage = Passage.through(
            rng, work=work, arriving=0.05, servers=25, utilisation=2.0, mix=mix, tick_s=0.001
        )
        work = passage.end(rng)
    assert work == pytest.approx(1000 * (0.05 - 0.025), rel=0.05)


@given(
    st.floats(-1, 5),
    st.floats(0, 3),
    st.integers(1, 50),
    st.floats(0, 2),
    st.sampled_from([0.001, 0.02, 1.0]),
    st.integers(0, 99),
)
def test_a_passage_that_waits_for_nobody_ends_with_room(
    work: float, arriving: float, servers: int, utilisation: float, tick_s: float, seed: int
) -> None:
    rng, mix = np.random.default_rng(seed), Mix.of([(1, ServiceTime.of(0.02, 0.1))])
    passage = Passage.through(
        rng, work=work, arriving=arriving, servers=servers, utilisation=utilisation,
        mix=mix, tick_s=tick_s,
    )  # fmt: skip
    end, met = passage.end(rng), passage.at(rng, rng.random(50))
    assert np.isfinite(end)
    assert np.isfinite(met).all()
    assert end >= passage.start + passage.net - 1e-9  # what is served is never more than can be
    if not passage.waits:
        assert end <= 0
        assert (met <= 0).all()


def test_a_long_tail_is_not_felt_in_a_tick_that_is_shorter() -> None:
    mix = Mix.of([(900, ServiceTime.of(0.006, 0.025)), (40, ServiceTime.of(0.05, 0.2))])
    assert mix.mean_s == pytest.approx((900 * 0.006 + 40 * 0.05) / 940)
    assert mix.cv2 > 2
    assert 1 <= mix.within(1e-6).cv2 < 1.01
    assert mix.within(1.0).cv2 == pytest.approx(mix.cv2)
