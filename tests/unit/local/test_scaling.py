"""Where an invocation goes is decided from numbers alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.local.scaling import Action, Load, Quota, Reason, place, quota

counts = st.integers(min_value=0, max_value=2_000)


@given(in_flight=counts, limit=counts, idle=counts)
def test_no_request_is_placed_above_the_quota(in_flight, limit, idle):
    placement = place(Quota(in_flight, limit, Reason.RESERVED), idle=idle)

    assert (placement.action is Action.THROTTLE) == (in_flight >= limit)


@given(in_flight=counts, idle=counts)
def test_an_environment_is_started_only_when_none_is_idle(in_flight, idle):
    placement = place(Quota(in_flight, in_flight + 1, Reason.ACCOUNT), idle=idle)

    assert (placement.action is Action.START) == (idle == 0)


def test_a_throttled_request_says_which_limit_and_how_full():
    placement = place(Quota(5, 5, Reason.RESERVED), idle=3)

    assert placement.reason is Reason.RESERVED
    assert (placement.quota.in_flight, placement.quota.limit) == (5, 5)


def test_a_function_draws_on_its_reservation_alone():
    loads = {"own": Load(3, reserved=10), "other": Load(700), "third": Load(5, reserved=5)}

    assert quota("own", loads) == Quota(3, 10, Reason.RESERVED)


def test_functions_without_a_reservation_share_what_is_not_reserved():
    loads = {"own": Load(3), "other": Load(700), "third": Load(5, reserved=200)}

    assert quota("own", loads, 1_000) == Quota(703, 800, Reason.ACCOUNT)


def test_a_reservation_of_zero_disables_the_function():
    placement = place(quota("off", {"off": Load(0, reserved=0)}), idle=1)

    assert placement.action is Action.THROTTLE


@given(reservations=st.lists(counts, max_size=5))
def test_the_shared_rest_is_never_negative(reservations):
    loads = {str(at): Load(0, reserved) for at, reserved in enumerate(reservations)}

    assert quota("own", {"own": Load(0), **loads}).limit >= 0
