"""A minute's figures: sums over processes, the worst of them, and growth that never is negative."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, replace

import pytest
from hypothesis import given, strategies
from pooler.look import Counters, Look, Shown, read
from pooler.minute import Minute, added, growth

NOTHING = Counters(0, 0, 0, 0)
QUIET = Look(0, 0, 0.0, 0, 0, 0.0, NOTHING)
numbers = strategies.integers(0, 10**12)
counters = strategies.builds(Counters, numbers, numbers, numbers, numbers)
steps = counters.filter(lambda each: each.assignments > 0 or each.wait_us == 0)
small = strategies.integers(0, 10_000)
percents = strategies.one_of(strategies.none(), strategies.floats(0, 100))
looks = strategies.builds(
    Look, small, small, strategies.floats(0, 1e6), small, small, percents, counters
)
tasks = strategies.dictionaries(strategies.integers(1, 3), looks)


COLUMNS = (
    *("cl_active", "cl_waiting", "sv_active", "sv_active_cancel", "sv_being_canceled"),
    *("sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait", "maxwait_us"),
)


def pool(user: str = "app", database: str = "appdb", **changes: int) -> dict[str, str]:
    values = {name: str(value) for name, value in {**dict.fromkeys(COLUMNS, 0), **changes}.items()}
    return {"database": database, "user": user, **values}


def database(size: int = 20, reserve: int = 5, most: int = 0) -> dict[str, str]:
    return {
        "name": "appdb",
        "pool_size": str(size),
        "reserve_pool_size": str(reserve),
        "max_connections": str(most),
    }


def user(name: str = "app", size: str = "", most: int = 0) -> dict[str, str]:
    return {
        "name": name,
        "pool_size": size,
        "reserve_pool_size": "",
        "max_user_connections": str(most),
    }


Rows = list[dict[str, str]]


NOW_S = time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))


def server(state: str, connected: str, address: str = "10.0.0.1") -> dict[str, str]:
    at = f"2026-11-27 {connected} UTC"
    return {"addr": address, "port": "5432", "state": state, "connect_time": at}


def shown(
    pools: Rows,
    databases: Rows,
    users: Sequence[dict[str, str]] = (),
    servers: Sequence[dict[str, str]] = (),
    **lists: int,
) -> Shown:
    lists = {"login_clients": 0, "used_clients": 1, **lists}
    listed = [{"list": name, "items": str(items)} for name, items in lists.items()]
    config = [{"key": "max_client_conn", "value": "200"}]
    return Shown(pools, databases, users, [], listed, servers, config)


def test_lists_and_servers_tell_what_pools_do_not() -> None:
    seen = read(
        shown(
            [pool()],
            [database()],
            servers=[
                server("idle", "11:59:00"),
                server("active", "11:00:00"),
                server("idle", "11:30:00", "10.0.0.2"),
                server("active_cancel", "01:00:00"),
            ],
            login_clients=3,
            used_clients=50,
        ),
        NOW_S,
    )
    assert (seen.clients_logging_in, seen.clients_used_percent) == (3, 25)
    assert seen.servers == {
        "10.0.0.1:5432 idle": 1,
        "10.0.0.1:5432 active": 1,
        "10.0.0.2:5432 idle": 1,
    }
    assert seen.oldest_session_s == 3600


def test_a_task_s_line_has_the_sessions_of_all_its_processes_at_its_busiest() -> None:
    minute = Minute()
    one = replace(QUIET, servers=Counter({"a:1 idle": 2}), oldest_session_s=9.4)
    minute.add({1: one, 2: replace(one, servers=Counter({"a:1 active": 1}), oldest_session_s=70.0)})
    minute.end()
    assert minute.servers == {"servers": {"a:1 active": 1, "a:1 idle": 2}, "oldest_session_s": 70}


def used(pools: Rows, databases: Rows, *users: dict[str, str]) -> float | None:
    return read(shown(pools, databases, users), NOW_S).pool_used_percent


@given(counters, counters)
def test_growth_is_never_negative_and_is_the_difference_where_nothing_fell(
    before: Counters, now: Counters
) -> None:
    grown = growth(before, now)
    assert min(astuple(grown)) >= 0
    if all(a <= b for a, b in zip(astuple(before), astuple(now), strict=True)):
        assert astuple(grown) == tuple(
            b - a for a, b in zip(astuple(before), astuple(now), strict=True)
        )


def test_a_process_that_was_started_anew_counts_from_zero() -> None:
    before, now = Counters(900, 90, 800, 80), Counters(1_000, 5, 1_000, 7)
    assert growth(before, now) == now


@given(strategies.lists(tasks, max_size=8))
def test_whatever_it_sees_no_figure_is_negative_or_above_what_was_seen(
    seen: list[dict[int, Look]],
) -> None:
    minute = Minute()
    for each in seen:
        minute.add(each)
    figures = {name: value for name, (value, _) in minute.end().items()}
    every = [look for each in seen for look in each.values()]
    assert bool(figures) == bool(every)
    assert all(value >= 0 for value in figures.values())
    if every:
        assert figures["MaxWaitMs"] == max(look.longest_wait_ms for look in every)
        assert figures["ClientsWaiting"] == max(
            sum(look.clients_waiting for look in each.values()) for each in seen if each
        )
    assert not minute.end()


@given(strategies.lists(steps, min_size=1, max_size=20), strategies.data())
def test_averages_over_any_cut_into_minutes_add_up_to_what_was_counted(
    served: list[Counters], data: strategies.DataObject
) -> None:
    """Each assignment's wait is in one minute, and in one only."""
    minute, told, now, waited = Minute(), NOTHING, NOTHING, 0.0
    minute.add({1: QUIET})
    for step in served:
        now = added(now, step)
        minute.add({1: replace(QUIET, counters=now)})
        if data.draw(strategies.booleans()):
            continue  # its looks belong to the minute that follows
        average, _ = minute.end().get("AvgWaitUs", (0.0, ""))
        waited += average * (now.assignments - told.assignments)
        told = now
    assert waited == pytest.approx(told.wait_us)


def test_counts_are_of_one_look_the_busiest_over_all_processes() -> None:
    minute = Minute()
    minute.add({1: replace(QUIET, sessions_active=9, clients_active=9)})
    minute.add(
        {
            1: replace(QUIET, clients_waiting=2, sessions_active=3, longest_wait_ms=5.0),
            2: replace(QUIET, clients_waiting=1, sessions_active=4, pool_used_percent=80.0),
        }
    )
    minute.add({1: replace(QUIET, longest_wait_ms=7.0, pool_used_percent=30.0)})
    assert minute.end() == {
        "ClientsActive": (0, "Count"),
        "ClientsWaiting": (3, "Count"),
        "ClientsLoggingIn": (0, "Count"),
        "ClientsUsedPercent": (0.0, "Percent"),
        "MaxWaitMs": (7.0, "Milliseconds"),
        "SessionsActive": (7, "Count"),
        "SessionsIdle": (0, "Count"),
        "PoolUsedPercent": (80.0, "Percent"),
    }


def test_averages_are_of_all_processes_together_each_weighted_by_what_it_served() -> None:
    minute = Minute()
    minute.add({1: QUIET, 2: QUIET})
    minute.add(
        {
            1: replace(QUIET, counters=Counters(1_000, 10, 90_000, 9)),
            2: replace(QUIET, counters=Counters(29_000, 20, 30_000, 1)),
        }
    )
    figures = minute.end()
    told = [figures[name] for name in ("AvgWaitUs", "AvgQueryUs")]
    assert told == [(1_000, "Microseconds"), (12_000, "Microseconds")]


def test_what_a_process_had_counted_before_it_was_first_seen_is_no_minute_s() -> None:
    minute = Minute()
    minute.add({1: replace(QUIET, counters=Counters(5, 5, 5, 5))})
    assert not {"AvgWaitUs", "AvgQueryUs"} & set(minute.end())


def test_a_look_has_every_session_once_and_leaves_the_console_out() -> None:
    pools = [
        pool(cl_active=3, cl_waiting=2, sv_active=1, sv_active_cancel=2, sv_being_canceled=4),
        pool("other", sv_idle=8, sv_used=16, sv_tested=32, sv_login=64, maxwait=1, maxwait_us=5000),
        pool("pgbouncer", "pgbouncer", cl_active=50, maxwait=99),
    ]
    seen = read(shown(pools, [database()]), NOW_S)
    assert (seen.clients_active, seen.clients_waiting) == (3, 2)
    assert seen.sessions_active == 1 + 2 + 4 + 32 + 64
    assert seen.sessions_idle == 8 + 16
    assert seen.longest_wait_ms == 1005.0


def test_the_fullest_of_all_limits_is_what_is_used() -> None:
    assert used([pool(sv_active=5)], [database(size=20, reserve=5)]) == 20
    assert used([pool(sv_active=5, sv_idle=15)], [database(size=20, reserve=5)]) == 20
    assert used([pool(sv_active=5)], [database()], user(size="        5")) == 50
    assert used([pool(sv_active=5)], [database(most=10)]) == 50
    assert used([pool(sv_active=5)], [database()], user(most=8)) == 62.5
    two = [pool(sv_active=5), pool("other", sv_active=4)]
    assert used(two, [database(most=10)]) == 90
    assert used([pool(sv_active=5)], [database(size=0)]) is None
    assert used([], [database()]) == 0, "before the first client there is no pool"
