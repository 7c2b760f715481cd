"""Lambda's side: how fast it scales, what it throttles, old and new versions, and services."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from broker.plan.deployment import Application, Kind
from broker.simulate import Traffic
from broker.simulate.fleet import Fleet, Start
from tests.unit.simulate.deployments import function

INF = float("inf")


def fleet(application: Application, tick_s: float = 0.1, **traffic: Any) -> Fleet:
    rng = np.random.default_rng(1)
    return Fleet(0, application, Traffic(**traffic), 300.0, rng, tick_s)


def test_a_thousand_environments_start_at_once_and_a_hundred_a_second_after_that() -> None:
    made = fleet(function(environments=50_000))
    entry = made.enter(0, 20_000, 1000.0, INF)
    assert entry.count(Start.COLD) == 1000
    assert entry.throttled == 19_000
    for tick in range(1, 101):
        made.rest(tick, 0)
        made.enter(tick, 20_000, 1000.0, INF)
    assert made.environments == pytest.approx(2000, abs=2)  # 10 s later


def test_reserved_concurrency_is_never_exceeded_and_spans_versions() -> None:
    made = fleet(function(environments=100))
    assert made.enter(0, 150, 1000.0, INF).throttled == 50
    made.rest(0, 0)
    made.deploy()
    assert made.enter(1, 10, 1000.0, INF).throttled == 10
    made.connect(100)
    made.rest(1, 60)
    entry = made.enter(2, 200, 1000.0, INF)
    assert entry.count(Start.COLD) == 60
    assert entry.throttled == 140
    assert made.environments == 160  # 60 old ones at rest, 40 in use, 60 new


def test_an_environment_that_was_used_is_used_again_with_its_connection() -> None:
    made = fleet(function())
    made.enter(0, 10, 1000.0, INF)
    made.connect(10)
    made.rest(0, 10)
    entry = made.enter(1, 4, 1000.0, INF)
    assert entry.count(Start.CONNECTED) == 4
    assert entry.count(Start.COLD) == entry.count(Start.BARE) == 0
    assert (made.environments, made.connections) == (10, 10)


def test_an_environment_whose_request_failed_in_the_queue_has_lost_its_connection() -> None:
    made = fleet(function())
    made.enter(0, 10, 1000.0, INF)
    made.connect(10)
    made.fail(0, 3, connected=True)
    made.rest(0, 7)
    assert (made.environments, made.connections, made.in_flight) == (10, 7, 0)


def test_idle_environments_are_reaped_and_their_connections_close_in_time() -> None:
    made = fleet(function(), kept_s=20.0)
    made.enter(0, 10, 1000.0, INF)
    made.connect(10)
    made.rest(0, 10)
    made.rest(199, 0)
    assert made.environments == 10
    made.rest(200, 0)
    assert (made.environments, made.connections) == (0, 10)  # frozen: nobody closed them
    made.rest(3000, 0)
    assert made.connections == 0


def test_an_environment_of_several_sessions_serves_as_many_at_once() -> None:
    made = fleet(function(environments=10, sessions=16))
    entry = made.enter(0, 200, 1000.0, INF)
    assert entry.count(Start.COLD) == 160
    assert (made.environments, entry.throttled) == (10, 40)
    few = fleet(function(environments=10, sessions=16))
    few.enter(0, 17, 1000.0, INF)
    assert few.environments == 2


def test_a_service_lets_requests_wait_for_its_slots_until_their_time_is_up() -> None:
    service = Application("web", Kind.SERVICE, 2, sessions=5, timeout_s=3.0, rate_per_s=1.0)
    made = fleet(service)
    entry = made.enter(0, 30, 1000.0, INF)
    assert entry.count(Start.BARE) == 10
    assert (entry.throttled, made.waiting, made.environments) == (0, 20, 2)
    made.connect(10)
    made.rest(0, 4)
    entry = made.enter(1, 0, 1000.0, INF)
    assert entry.count(Start.CONNECTED) == 4
    assert entry.cohorts[Start.CONNECTED][0].before_s == pytest.approx(0.1)
    made.rest(1, 0)
    assert made.enter(30, 0, 1000.0, INF).timed_out == 16


def test_who_seeks_a_connection_for_its_whole_time_gives_up() -> None:
    made = fleet(function(timeout_s=3.0))
    [cohort] = made.enter(0, 10, 1000.0, INF).cohorts[Start.COLD]
    made.seek(0, cohort, cold=True)
    assert made.give_up(29) == 0
    assert made.give_up(30) == 10
    assert (made.in_flight, made.environments, made.connections) == (0, 10, 0)


def test_a_storm_has_every_environment_there_from_the_start() -> None:
    made = fleet(function(), storm=True)
    assert (made.asking, made.environments, made.connections) == (100, 100, 0)
    entry = made.enter(0, 100, 1.0, INF)
    assert (entry.count(Start.BARE), entry.count(Start.COLD), entry.throttled) == (100, 0, 0)
    assert made.asking == 0
