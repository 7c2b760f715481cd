"""The cohorts give what a simulation of every single request gives, whatever the tick."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.plan.deployment import Flavour
from broker.simulate import Burst, Failure, Span, Traffic, simulate
from tests.unit.simulate.brute_force import Fleet, Service
from tests.unit.simulate.deployments import KEPT, deployment, function


def exponential(mean_s: float) -> Service:
    return lambda rng: rng.expovariate(1 / mean_s)


def steady(mean_s: float) -> Service:
    """As `pg_sleep` is: hardly any variation."""
    return lambda rng: max(0.0, rng.gauss(mean_s, mean_s * 0.01))


def total(duration_s: float, tick_s: float, rate: float, slots: int, **changes: object) -> Span:
    pool = changes.pop("pool", 25)
    mean = {name: changes.pop(name) for name in ("mean_s", "p99_s") if name in changes}
    asked = function(environments=slots, rate_per_s=rate, **mean)
    form = deployment(asked, max_connections=1000, pool_size=pool, active_sessions=50)
    traffic = Traffic(duration_s=duration_s, tick_s=tick_s, cold_start_s=0.0, **changes)  # type: ignore[arg-type]
    return simulate(form, traffic).total


def close(span: Span, fleet: Fleet, tolerance: float) -> None:
    assert span.answered == pytest.approx(fleet.counts["answered"], rel=tolerance)
    for share in (0.5, 0.99):
        expected_ms = fleet.quantile(share) * 1000
        assert span.quantile_ms(share) == pytest.approx(expected_ms, rel=tolerance)


@pytest.mark.parametrize("tick_s", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("service", [exponential, steady])
def test_a_busy_pool_has_the_waits_of_single_requests(
    tick_s: float, service: Callable[[float], Service]
) -> None:
    p99_s = None if service is exponential else 0.02 * 1.0235
    fleet = Fleet(1000, service(0.02), 25, 5000, 60, cold_start_s=0.0).run(3)
    found = total(60 if tick_s < 1 else 600, tick_s, 1000, 5000, p99_s=p99_s)
    found.answered = round(found.answered * 60 / found.for_s)
    close(found, fleet, 0.1)


@pytest.mark.parametrize("tick_s", [0.01, 0.1, 1.0])
def test_what_concurrency_cannot_take_is_throttled_and_the_rest_waits_for_the_pool(
    tick_s: float,
) -> None:
    fleet = Fleet(1500, exponential(0.02), 25, 600, 60, cold_start_s=0.0).run(3)
    found = total(60, tick_s, 1500, 600)
    close(found, fleet, 0.05)
    throttled = found.failed[Failure.THROTTLED]
    assert throttled == pytest.approx(fleet.counts["throttled"], rel=0.08)
    assert found.failures == throttled


@pytest.mark.parametrize("tick_s", [0.03, 0.2, 1.0])
def test_a_few_environments_lose_what_erlang_says(tick_s: float) -> None:
    fleet = Fleet(100, exponential(0.02), 25, 4, 200, cold_start_s=0.0).run(3)
    found = total(200, tick_s, 100, 4)
    throttled = fleet.counts["throttled"]
    assert found.failed[Failure.THROTTLED] == pytest.approx(throttled, rel=0.15)


@pytest.mark.parametrize("tick_s", [0.005, 0.1])
def test_a_queue_that_is_too_long_times_out_and_what_is_left_is_served(tick_s: float) -> None:
    fleet = Fleet(800, exponential(0.02), 10, 50_000, 60, wait_s=2.0, cold_start_s=0.0).run(3)
    asked = function(environments=50_000, rate_per_s=800, timeout_s=6.0)
    form = deployment(asked, max_connections=1000, pool_size=10)
    found = simulate(form, Traffic(duration_s=60, tick_s=tick_s, cold_start_s=0.0)).total
    assert found.failed[Failure.TIMED_OUT] == pytest.approx(fleet.counts["timed out"], rel=0.1)
    close(found, fleet, 0.1)


@pytest.mark.parametrize("tick_s", [0.05, 1.0])
def test_a_burst_starts_environments_as_fast_as_lambda_may_and_the_rest_is_throttled(
    tick_s: float,
) -> None:
    def factor(at_s: float) -> float:
        return 10.0 if 60 <= at_s < 65 else 1.0

    warm = 45  # what 400 a second keep of a quarter of an hour
    fleet = Fleet(
        400, exponential(0.02), 25, 5000, 120, factor=factor, most_factor=10, warm=warm
    ).run(3)  # fmt: skip
    asked = function(environments=5000, rate_per_s=400)
    form = deployment(asked, max_connections=1000)
    traffic = Traffic(duration_s=120, tick_s=tick_s, bursts=(Burst(10, 60, 5),))
    found = simulate(form, traffic).total
    assert found.failed[Failure.THROTTLED] == pytest.approx(fleet.counts["throttled"], rel=0.1)
    assert found.peak.environments == pytest.approx(fleet.peak["environments"], rel=0.1)
    assert found.cold_starts == pytest.approx(fleet.counts["cold"], rel=0.1)
    close(found, fleet, 0.15)


@pytest.mark.parametrize("clients", [15, 100, 400])
@pytest.mark.parametrize("service", [exponential, steady])
def test_a_storm_turns_over_as_single_clients_do(
    clients: int, service: Callable[[float], Service]
) -> None:
    p99_s = None if service is exponential else 0.02 * 1.0235
    fleet = Fleet(1, service(0.02), 25, clients, 8, storm=True).run(3)
    found = total(8, 0.0025, 1, clients, storm=True, p99_s=p99_s)
    close(found, fleet, 0.06)


def test_environments_without_a_session_are_refused_as_single_ones_are() -> None:
    sessions = 40 - KEPT
    fleet = Fleet(300, exponential(0.1), sessions, 1000, 120, direct=True).run(3)
    asked = function(environments=1000, rate_per_s=300, mean_s=0.1)
    form = deployment(asked, max_connections=40, flavour=Flavour.DIRECT)
    found = simulate(form, Traffic(duration_s=120, tick_s=0.05)).total
    assert found.failed[Failure.REFUSED] == pytest.approx(fleet.counts["refused"], rel=0.15)
    assert found.peak.sessions == 40
    assert fleet.peak["sessions"] == sessions
    assert found.answered == pytest.approx(fleet.counts["answered"], rel=0.05)
