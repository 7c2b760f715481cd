"""The whole: nobody is lost, what fits never exceeds, and what does not is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.errors import UsageError
from broker.plan import Deployment, DoesNotFit, make_plan
from broker.plan.deployment import Application, Flavour, Kind, Pair
from broker.simulate import Burst, Failure, Outcome, Span, Traffic, simulate
from tests.unit.simulate.deployments import KEPT, deployment, function

PAIRS = (Pair("appdb", "app"), Pair("appdb", "batch"))


def conserved(outcome: Outcome) -> bool:
    total = outcome.total
    return total.asked == total.answered + total.failures + outcome.unanswered


def median_ms(span: Span) -> float:
    found = span.quantile_ms(0.5)
    assert found is not None
    return found


applications = st.builds(
    Application,
    name=st.just("a"),
    kind=st.sampled_from(Kind),
    environments=st.integers(1, 200),
    sessions=st.integers(1, 3),
    overlap=st.sampled_from([2.0, 3.0]),
    pair=st.sampled_from(PAIRS),
    rate_per_s=st.floats(0.1, 3000),
    mean_s=st.sampled_from([0.002, 0.02, 0.5]),
    p99_s=st.sampled_from([None, 2.0]),
    timeout_s=st.sampled_from([3.0, 30.0]),
)
deployments = st.builds(
    deployment,
    applications,
    applications.map(lambda each: replace(each, name="b")),
    max_connections=st.integers(20, 2000),
    flavour=st.sampled_from(Flavour),
    tasks=st.integers(1, 3),
    overlap=st.sampled_from([1.0, 1.5, 2.0]),
    pairs=st.just(PAIRS),
    pool_size=st.none() | st.integers(1, 25),
    reserve_pool_size=st.none() | st.integers(0, 5),
    cap=st.none() | st.integers(1, 100),
    wait_s=st.just(10.0),  # the plan takes rates that the pool hardly can
)
traffics = st.builds(
    Traffic,
    duration_s=st.sampled_from([20.0, 120.0]),
    tick_s=st.sampled_from([0.25, 1.0]),
    bursts=st.just(()) | st.just((Burst(20, 5.0, 3.0),)),
    deploys_s=st.just(()) | st.just((7.0,)),
    handler_s=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
) | st.builds(
    Traffic, duration_s=st.just(3.0), tick_s=st.just(0.01), storm=st.just(True),
    seed=st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deployments, traffics)
def test_nobody_is_lost_and_what_fits_never_exceeds_its_plan(
    form: Deployment, traffic: Traffic
) -> None:
    outcome = simulate(form, traffic)
    assert conserved(outcome)
    try:
        plan = make_plan(form)
    except DoesNotFit as refusal:
        assert outcome.shape.refusals == tuple(str(each) for each in refusal.excesses)
        return
    assert not outcome.shape.refusals
    assert outcome.total.refusals == 0
    assert outcome.total.failed[Failure.REFUSED] == 0
    assert outcome.total.peak.sessions <= plan.whole("sessions_at_worst")
    assert outcome.total.peak.sessions <= plan.whole("max_connections")


def test_a_seed_gives_the_same_again_and_another_seed_another_run() -> None:
    runs = [
        simulate(deployment(), Traffic(duration_s=30, seed=seed)).total.told() for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_every_number_is_the_plans() -> None:
    form = deployment(tasks=2, pool_size=None, reserve_pool_size=None)
    plan, shape = make_plan(form), simulate(form, Traffic(duration_s=1)).shape
    limits = shape.limits
    assert limits.size == plan.whole("default_pool_size")
    assert limits.reserve == plan.whole("reserve_pool_size")
    assert limits.reserve_wait_s == plan.whole("reserve_pool_timeout")
    assert limits.wait_s == plan.whole("query_wait_timeout")
    assert limits.keep_s == plan.whole("server_idle_timeout")
    assert shape.connection_kept_s == plan.whole("client_idle_timeout")
    assert shape.queues == plan.whole("pools")
    assert shape.sessions_at_worst == plan.whole("sessions_at_worst")
    proxied = deployment(flavour=Flavour.RDS_PROXY)
    proxy = make_plan(proxied)
    limits = simulate(proxied, Traffic(duration_s=1)).shape.limits
    assert limits.size == proxy.whole("proxy_sessions")
    assert limits.wait_s == proxy.whole("connection_borrow_timeout")


def test_a_direct_storm_that_does_not_fit_gets_53300_and_a_pooler_takes_it() -> None:
    many = function(environments=300, timeout_s=2.0)
    direct = simulate(deployment(many, flavour=Flavour.DIRECT), Traffic(storm=True, duration_s=10))
    assert direct.shape.refusals
    assert direct.failed
    assert direct.total.refusals == direct.total.failed[Failure.REFUSED] > 200
    assert direct.total.peak.sessions == 100
    pooled = simulate(deployment(many), Traffic(storm=True, duration_s=10))
    assert not pooled.shape.refusals
    assert not pooled.failed
    assert pooled.total.peak.sessions == KEPT + 25
    assert pooled.total.answered == pytest.approx(10 * 25 / 0.02, rel=0.02)


def test_a_pooler_in_front_of_a_full_server_is_refused_sessions_and_its_clients_wait() -> None:
    form = deployment(function(rate_per_s=2000, environments=5000), max_connections=KEPT + 10)
    outcome = simulate(form, Traffic(duration_s=30, tick_s=0.1))
    assert outcome.shape.refusals
    assert outcome.total.peak.sessions == KEPT + 10
    assert outcome.total.refusals > 20
    assert outcome.total.failed[Failure.REFUSED] == 0  # the pooler's, not the requests'


def test_a_cap_ends_what_waits_for_it_and_the_server_never_refuses() -> None:
    many = function(environments=300, timeout_s=2.0)
    form = deployment(many, flavour=Flavour.DIRECT, cap=40)
    outcome = simulate(form, Traffic(storm=True, duration_s=10))
    assert not outcome.shape.refusals
    assert outcome.total.failed[Failure.CAPPED] > 200
    assert outcome.total.refusals == 0
    assert outcome.total.peak.sessions == KEPT + 40


def test_a_version_too_many_may_find_no_clients_slot_at_the_pooler() -> None:
    """The plan's overlap is two versions; old ones keep their slots until they are idle enough."""
    form = deployment(function(environments=1500, timeout_s=2.0))
    limit = make_plan(form).whole("max_client_conn") - 10  # the consoles
    traffic = Traffic(storm=True, duration_s=40, tick_s=0.01, deploys_s=(10.0, 20.0, 30.0))
    total = simulate(form, traffic).total
    assert total.peak.connections == limit
    assert total.failed[Failure.NO_CLIENT_SLOT] > 100
    twice = simulate(form, replace(traffic, deploys_s=(10.0,))).total
    assert not twice.failed[Failure.NO_CLIENT_SLOT]


def test_a_rollout_has_both_versions_and_both_tasks_at_once_and_stays_in_the_plan() -> None:
    form = deployment(function(rate_per_s=1100, environments=900), overlap=2.0)
    outcome = simulate(form, Traffic(duration_s=240, tick_s=0.1, deploys_s=(100.0,)))
    before = [span for span in outcome.spans if span.at_s < 100]
    assert max(span.peak.sessions for span in before) == KEPT + 25
    assert outcome.total.peak.sessions > KEPT + 30
    assert outcome.total.peak.sessions <= outcome.shape.sessions_at_worst == KEPT + 50
    assert not outcome.failed
    after = outcome.spans[-1]
    assert after.peak.sessions == KEPT + 25
    assert after.peak.environments > 1.5 * before[-1].peak.environments


def test_more_active_sessions_than_the_server_serves_well_make_it_slower_not_faster() -> None:
    crowd = function(environments=400, mean_s=0.1)
    form = deployment(crowd, max_connections=1000, flavour=Flavour.DIRECT)
    total = simulate(form, Traffic(storm=True, duration_s=20)).total
    assert total.answered / 20 == pytest.approx(50 / 0.1, rel=0.1)
    assert median_ms(total) > 400


def test_a_handler_that_takes_longer_keeps_its_environment_no_session_and_nobody_waiting() -> None:
    quick = simulate(deployment(), Traffic(duration_s=60, tick_s=0.1)).total
    slow = simulate(deployment(), Traffic(duration_s=60, tick_s=0.1, handler_s=0.3)).total
    assert slow.peak.environments > quick.peak.environments
    assert slow.peak.sessions <= quick.peak.sessions + 3
    assert median_ms(slow) == pytest.approx(median_ms(quick), rel=0.02)


def test_it_says_how_far_it_is_and_tells_it_in_spans_or_in_fewer_rows() -> None:
    seen: list[float] = []
    outcome = simulate(deployment(), Traffic(duration_s=3600, tick_s=1.0, peak=3), seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(outcome.spans) == 240
    assert len(outcome.rows(24)) == 24
    assert sum(span.asked for span in outcome.rows(24)) == outcome.total.asked


def test_what_has_no_rate_cannot_be_simulated() -> None:
    with pytest.raises(UsageError, match="nothing has a rate and a mean"):
        simulate(deployment(function(rate_per_s=0.0, mean_s=0.0)))


def told(**changes: Any) -> dict[str, Any]:
    return simulate(deployment(), Traffic(duration_s=5, **changes)).total.told()


def test_its_json_has_a_number_for_every_failure() -> None:
    found = told()
    for failure in Failure:
        assert found[failure.value] == 0
    assert found["p50_ms"] < found["p99_ms"]
