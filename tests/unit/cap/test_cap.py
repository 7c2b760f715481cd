"""A lease is taken with one request, renewed on use, lost without harm, and full says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cap.cap import LOOK_S
from broker.cap.lease import RENEW_SHARE, Item, Step, Terms, is_astray, judge
from broker.cap.limits import Limits
from broker.cap.table import TableRefused
from broker.errors import CapReached, CapUnreachable, CapUnsafe
from tests.unit.cap.fakes import LIMITS, SkewedClock, World


@pytest.fixture
def world() -> World:
    return World()


def test_a_lease_costs_one_request_while_there_is_room(world: World) -> None:
    lease = world.cap().take(world.deadline())
    assert world.table.requests == 1
    assert world.table.rows[lease.slot or 0].token == lease.token


def test_a_crowded_cap_is_filled_to_the_last_slot(world: World) -> None:
    leases = [world.cap(seed=n, cap=120).take(world.deadline()) for n in range(120)]
    assert {lease.slot for lease in leases} == set(range(120))


def test_a_full_cap_is_waited_for_and_then_refused_with_the_numbers(world: World) -> None:
    held = [world.cap(seed=n).take(world.deadline()) for n in range(2)]
    with pytest.raises(CapReached, match=r"2 of 2 leases of app in force, waited") as raised:
        world.cap(seed=3).take(world.deadline(5))
    error = raised.value
    assert (error.cap, error.held, error.retryable) == (2, 2, True)
    assert 0 < error.waited_s <= 5
    assert world.counts["cap_reached"] == 1
    held[0].give_back()
    assert world.cap(seed=3).take(world.deadline(5)).slot == held[0].slot


def test_no_look_is_cut_off_by_the_deadline_and_blames_the_table(world: World) -> None:
    for seed in range(2):
        world.cap(seed=seed).take(world.deadline())
    for seed in range(2, 100):  # 5 s each, which is less than a lease lives
        with pytest.raises(CapReached):
            world.cap(seed=seed).take(world.deadline(5))
    assert world.table.shortest_look_s >= LOOK_S


def test_a_lease_in_its_first_third_costs_nothing_and_is_renewed_after_it(world: World) -> None:
    lease = world.covered(world.cap())
    for _ in range(10):
        world.clock.advance(19)
        assert lease.keep(world.deadline())
    assert world.table.requests == 1
    world.clock.advance(11)
    assert lease.keep(world.deadline())
    assert world.table.requests == 2
    assert lease.keep(world.deadline())
    assert world.table.requests == 2


def test_a_busy_environment_makes_less_than_one_request_in_100_invocations(world: World) -> None:
    lease = world.covered(world.cap())
    for _ in range(3600):
        world.clock.advance(1)
        assert lease.keep(world.deadline())
    assert world.table.requests < 36


def test_after_a_thaw_a_lease_that_another_took_is_lost(world: World) -> None:
    clock = SkewedClock(world.clock)
    lease = world.covered(world.cap(cap=1, clock=clock))
    world.clock.freeze(601)
    other = world.cap(cap=1, seed=1).take(world.deadline())
    assert not lease.keep(world.deadline())
    lease.give_back()
    assert world.table.rows[0].token == other.token


def test_after_a_thaw_a_lease_that_nobody_took_is_renewed_before_use(world: World) -> None:
    lease = world.covered(world.cap())
    world.clock.freeze(5000)
    assert lease.keep(world.deadline())
    assert world.table.requests == 2


def test_what_a_crash_held_is_back_within_one_life(world: World) -> None:
    for n in range(2):
        world.covered(world.cap(seed=n))
    with pytest.raises(CapReached):
        world.cap(seed=5).take(world.deadline(1))
    world.clock.advance(600)
    assert world.cap(seed=5).take(world.deadline(1))


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_token(world: World) -> None:
    world.table.lose(2, carried_out=True)
    lease = world.cap().take(world.deadline())
    assert len(world.table.rows) == 1
    assert world.table.rows[lease.slot or 0].token == lease.token


def test_closed_refuses_while_the_table_is_out_of_reach(world: World) -> None:
    world.table.lose(1000)
    with pytest.raises(CapUnreachable, match=r"no answer.*BROKER_CAP_TABLE"):
        world.cap().take(world.deadline())
    assert sum(world.clock.slept) <= 3.0
    assert world.counts["cap_unreachable"] == 1


def test_open_goes_on_without_a_lease_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.table.outages = [(TableRefused("AccessDeniedException"), False)]
    lease = world.cap(is_open=True).take(world.deadline())
    assert lease.slot is None
    assert lease.keep(world.deadline())
    lease.give_back()
    assert world.counts["uncapped"] == 1
    assert "without a lease" in caplog.text


def test_a_renewal_that_is_not_urgent_may_fail_and_is_not_tried_at_each_use(world: World) -> None:
    lease = world.covered(world.cap())
    world.clock.advance(205)
    world.table.lose()
    assert lease.keep(world.deadline())
    assert lease.keep(world.deadline())
    assert world.table.requests == 2
    world.clock.advance(51)
    assert lease.keep(world.deadline())
    assert world.table.requests == 3


def test_a_renewal_that_is_urgent_must_succeed(world: World) -> None:
    lease = world.covered(world.cap())
    world.clock.advance(500)
    world.table.lose(1000)
    with pytest.raises(CapUnreachable):
        lease.keep(world.deadline())


def test_a_give_back_that_fails_is_counted_and_never_raised(world: World) -> None:
    lease = world.cap().take(world.deadline())
    world.table.lose()
    lease.give_back()
    assert world.counts["leases_abandoned"] == 1


def test_a_deadline_that_no_renewal_would_cover_is_refused_with_the_numbers(world: World) -> None:
    lease = world.covered(world.cap())
    with pytest.raises(CapUnsafe, match=r"BROKER_CAP_LEASE_S=600 is too short for a use of 900 s"):
        lease.keep(world.deadline(900))


@pytest.mark.parametrize("missing", ["idle_s", "idle_in_transaction_s", "statement_s"])
def test_a_server_that_would_keep_sessions_for_ever_is_refused_with_the_remedy(
    world: World, missing: str
) -> None:
    lease = world.cap().take(world.deadline())
    limits = LIMITS._replace(transaction_s=0)._replace(**{missing: 0.0})
    with pytest.raises(CapUnsafe, match=r'alter role "app" set \w+ = ') as raised:
        lease.cover(limits, world.deadline())
    assert limits.missing[0] in str(raised.value)


def test_a_server_that_keeps_sessions_for_longer_than_a_lease_is_refused(world: World) -> None:
    lease = world.cap().take(world.deadline())
    with pytest.raises(CapUnsafe, match="BROKER_CAP_LEASE_S=600 is too short"):
        lease.cover(LIMITS._replace(idle_s=599), world.deadline())


def test_limits_are_read_as_postgres_renders_them() -> None:
    assert Limits.read(["4min", "500ms", "0", None]) == (240, 0.5, 0, 0)
    assert Limits(240, 60, 30, 0).afterlife_s == 270
    assert Limits(10, 0, 30, 100).afterlife_s == 200


@given(
    elapsed=st.floats(0, 2000),
    use=st.floats(0, 900),
    afterlife=st.floats(0, 900),
    life=st.floats(1, 2000),
)
def test_a_use_ends_before_the_most_advanced_clock_sees_the_lease_expire(
    elapsed: float, use: float, afterlife: float, life: float
) -> None:
    terms = Terms("x", 1, life)
    step = judge(elapsed, use, afterlife, terms)
    if step is not Step.RENEW_FIRST:
        last_word_heard = elapsed + use + afterlife
        assert last_word_heard + terms.skew_s <= life - terms.skew_s
    if step is Step.USE:
        assert elapsed < life * RENEW_SHARE


@pytest.mark.parametrize(
    ("before_s", "after_s", "astray"),
    [(100.2, 100.3, False), (104.5, 104.6, True), (96.0, 96.1, True), (97.5, 97.6, False)],
)
def test_a_clock_that_contradicts_the_answers_date_is_found(
    before_s: float, after_s: float, astray: bool
) -> None:
    assert is_astray(before_s, after_s, 100.0, 3.0) is astray


def test_an_undetected_skew_is_within_the_bound_that_the_leases_count_on() -> None:
    """The worst: a date that is a whole second old, and an answer that took its whole second."""
    assert not is_astray(103.99, 104.99, 100.0, 3.0)  # true time was 99.99…100.99 at the request
    assert is_astray(104.01, 105.0, 100.0, 3.0)


def test_items_of_a_lowered_cap_are_left_alone(world: World) -> None:
    world.table.rows[7] = Item("an older version's", 9_999_999_999_999)
    lease = world.cap(cap=1).take(world.deadline())
    assert lease.slot == 0
    assert world.table.rows[7].token == "an older version's"
