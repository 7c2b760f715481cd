"""examples/schedule: every visit is counted once, however often it runs and wherever it ends."""

from __future__ import annotations

import pytest

from examples.schedule.pace import fits
from tests.examples.conftest import EXAMPLES
from tests.wait import wait_until

EVENT = {"time": "2026-03-01T03:00:00Z"}
SETUP = "schedule.handler.setup"
HANDLER = "schedule.handler.handler"
ROWS = 2500


def test_another_batch_must_fit_with_what_is_kept_for_the_answer() -> None:
    assert fits(left_s=30, slowest_s=0, spare_s=10)
    assert fits(left_s=30, slowest_s=9.9, spare_s=10)
    assert not fits(left_s=30, slowest_s=10, spare_s=10)
    assert not fits(left_s=10, slowest_s=0, spare_s=10)


@pytest.fixture
def visits(broker_function) -> None:
    """2,500 visits, one a minute."""
    broker_function(SETUP, code=EXAMPLES)({"minutes": ROWS})


def counted(db) -> int:
    return int(db.run("select coalesce(sum(visits), 0)::int from visits_daily").scalar())


def left(db) -> int:
    return int(db.run("select count(*) from visits").scalar())


def test_old_rows_become_daily_counts_and_young_ones_stay(
    visits, broker_function, broker_db
) -> None:
    broker_db.run("insert into visits (page, at) values ('/', '2026-01-30T03:00:00Z')")
    job = broker_function(HANDLER, code=EXAMPLES)
    assert job(EVENT) == {"rolled_up": ROWS, "left": 0, "end": "done"}
    assert left(broker_db) == 1
    assert broker_db.run("select day::text, page, visits from visits_daily order by 1, 2") == [
        ["2026-01-01", "/0", 720],
        ["2026-01-01", "/1", 720],
        ["2026-01-02", "/0", 530],
        ["2026-01-02", "/1", 530],
    ]


def test_a_second_delivery_changes_nothing(visits, broker_function, broker_db) -> None:
    job = broker_function(HANDLER, code=EXAMPLES)
    job(EVENT)
    assert job(EVENT) == {"rolled_up": 0, "left": 0, "end": "done"}
    assert (counted(broker_db), left(broker_db)) == (ROWS, 0)


def test_two_at_once_count_each_visit_once(visits, broker_function, broker_db) -> None:
    job = broker_function(HANDLER, code=EXAMPLES, environment={"BATCH": "50"})
    reports = [one.result().result() for one in [job.submit(EVENT) for _ in range(4)]]
    assert counted(broker_db) == sum(report["rolled_up"] for report in reports)
    assert counted(broker_db) + left(broker_db) == ROWS
    job(EVENT)
    assert (counted(broker_db), left(broker_db)) == (ROWS, 0)


def test_while_another_run_has_the_lock_nothing_is_done(visits, broker_function, broker_db) -> None:
    job = broker_function(HANDLER, code=EXAMPLES)
    with broker_db.transaction() as tx:
        tx.run("select pg_advisory_xact_lock(hashtext('examples.schedule.roll_up'))")
        assert job(EVENT) == {"rolled_up": 0, "left": ROWS, "end": "another run is at it"}
    assert job(EVENT)["end"] == "done"


def test_it_ends_in_time_and_the_next_run_goes_on(visits, broker_function, broker_db) -> None:
    """The second batch takes 8 s of 20, and 14 are to be kept."""
    broker_db.run(
        "create function slow() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(8); return old; end $$"
    )
    broker_db.run(
        "create trigger slow before delete on visits for each row"
        " when (old.id = 1500) execute function slow()"
    )
    job = broker_function(HANDLER, code=EXAMPLES, timeout_s=20, environment={"SPARE_S": "14"})
    report = job(EVENT)
    assert report["end"] == "out of time"
    assert 0 < report["rolled_up"] < ROWS
    assert report["left"] == left(broker_db) == ROWS - report["rolled_up"]
    broker_db.run("drop trigger slow on visits")
    rest = broker_function(HANDLER, code=EXAMPLES)(EVENT)
    assert rest == {"rolled_up": report["left"], "left": 0, "end": "done"}
    assert counted(broker_db) == ROWS


def test_killed_in_the_middle_of_a_batch_it_has_counted_none_of_that(
    visits, broker_function, broker_db, broker_database
) -> None:
    job = broker_function(HANDLER, code=EXAMPLES)
    waiting = """select 1 from pg_stat_activity where datname = :name
                 and wait_event_type = 'Lock' and query like '%with old as%'"""
    with broker_db.transaction() as tx:
        tx.run("select 1 from visits where id = 1500 for update")
        running = job.submit(EVENT)
        wait_until(
            lambda: broker_database.admin(waiting, name=broker_database.name),
            "the second batch to wait for a row",
        )
        [environment] = job.fleet.environments(job.name)
        job.fleet.kill(environment.id)
        running.result()
    assert (counted(broker_db), left(broker_db)) == (1000, ROWS - 1000)
    assert job(EVENT) == {"rolled_up": ROWS - 1000, "left": 0, "end": "done"}
    assert counted(broker_db) == ROWS
