"""The deadline rides with a statement exactly where the server would otherwise run on."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.bound import LEAD_MS, MAX_MS, SLACK_MS, milliseconds, riding_ms, riding_sql

remaining = st.floats(min_value=-1e4, max_value=3e6)
limits = st.none() | st.integers(min_value=0, max_value=MAX_MS)


@given(remaining_s=remaining, in_force_ms=limits)
@example(remaining_s=MAX_MS / 1000, in_force_ms=0)
def test_whatever_rides_or_not_the_server_stops_soon_after_the_deadline(remaining_s, in_force_ms):
    ms = riding_ms(remaining_s, in_force_ms)

    stops_after_ms = in_force_ms if ms is None else ms
    if remaining_s * 1000 <= MAX_MS:
        assert stops_after_ms
        assert stops_after_ms <= max(1, remaining_s * 1000 + SLACK_MS)


@given(remaining_s=remaining, in_force_ms=limits)
def test_what_rides_is_an_int4_that_leaves_the_answer_time_to_arrive(remaining_s, in_force_ms):
    ms = riding_ms(remaining_s, in_force_ms)

    if ms is not None:
        assert 1 <= ms <= MAX_MS
        assert ms == 1 or ms <= remaining_s * 1000 - LEAD_MS


@given(remaining_s=remaining, in_force_ms=st.integers(min_value=1, max_value=MAX_MS))
def test_a_stricter_limit_of_the_servers_own_is_never_loosened_once_it_is_known(
    remaining_s, in_force_ms
):
    ms = riding_ms(remaining_s, in_force_ms)

    assert ms is None or ms <= in_force_ms


def test_a_limit_of_zero_is_no_limit():
    assert riding_ms(10, 0) == 10_000 - LEAD_MS


def test_a_limit_that_is_not_known_does_not_stop_the_bound():
    assert riding_ms(10, None) == 10_000 - LEAD_MS


def test_the_slack_ends_where_it_says():
    assert riding_ms(10, 10_000 + SLACK_MS) is None
    assert riding_ms(10, 10_000 + SLACK_MS + 1) == 10_000 - LEAD_MS


@pytest.mark.parametrize("remaining_s", [float("inf"), MAX_MS / 1000 + 1, 1e300])
def test_a_deadline_beyond_what_the_server_can_count_rides_not_at_all(remaining_s):
    assert riding_ms(remaining_s, 0) is None


@pytest.mark.parametrize("remaining_s", [0, -5, 0.001, LEAD_MS / 1000])
def test_a_deadline_that_is_nearly_over_still_bounds_the_statement(remaining_s):
    assert riding_ms(remaining_s, 0) == 1  # 0 would be no bound at all


def test_the_bound_lasts_for_the_transaction_and_no_longer():
    assert riding_sql(250, known=True) == b"select set_config('statement_timeout','250',true)"


def test_where_it_is_not_known_what_is_in_force_it_is_asked_first_and_a_lower_one_is_kept():
    sql = riding_sql(250, known=False)

    assert sql.startswith(b"select current_setting('statement_timeout'),set_config(")
    assert b"least(" in sql
    assert b",250)" in sql
    assert sql.endswith(b",true)")


UNITS = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1}


def as_postgres_renders(ms: int) -> str:
    """Guc.c, convert_int_from_base_unit: the largest unit that divides it."""
    if ms == 0:
        return "0"
    unit = next(unit for unit, size in UNITS.items() if ms % size == 0)
    return f"{ms // UNITS[unit]}{unit}"


@given(
    st.integers(min_value=0, max_value=MAX_MS)
    | st.builds(lambda n, unit: n * UNITS[unit], st.integers(0, 24), st.sampled_from(sorted(UNITS)))
)
def test_every_rendering_of_a_time_is_read_back(ms):
    assert milliseconds(as_postgres_renders(ms)) == ms


@pytest.mark.parametrize("text", ["", "5 s", "-1", "5us", "1.5s", "5s5s", "off", "5s\n"])
def test_what_postgres_does_not_render_is_refused_and_not_guessed(text):
    with pytest.raises(ValueError, match="not a time"):
        milliseconds(text)
