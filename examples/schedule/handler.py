"""Turns visits of more than 30 days ago into a count for each day and page."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger

from broker import Broker, Transaction

from .pace import End, fits

db = Broker.from_env()
logger = Logger(service="roll_up")

KEEP = timedelta(days=30)
BATCH = int(os.environ.get("BATCH", "1000"))  # rows: some 10 ms of locks and of WAL
SPARE_S = float(os.environ.get("SPARE_S", "10"))  # of the invocation, for the count and the answer
MOST_COUNTED = 100_000  # of what is left: that many is all that anybody needs to know

MINE = "select pg_try_advisory_xact_lock(hashtext('examples.schedule.roll_up'))"
ROLL_UP = """
    with old as (
        delete from visits
        where id in (select id from visits where at < :before order by at limit :batch)
        returning page, at
    ), counted as (
        insert into visits_daily (day, page, visits)
        select (at at time zone 'UTC')::date, page, count(*) from old group by 1, 2
        on conflict (day, page) do update set visits = visits_daily.visits + excluded.visits
    )
    select count(*) from old
"""
LEFT = """
    select count(*) from (select from visits where at < :before limit :most) as old
"""


@db.handler
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Roll up a batch after the other while there is time, and report what is left.

    What is old is decided by the event's time, so a second delivery of it means the same rows.
    """
    before = datetime.fromisoformat(event["time"]) - KEEP
    rolled_up, slowest_s, end = 0, 0.0, End.LATE
    while fits(context.get_remaining_time_in_millis() / 1000, slowest_s, SPARE_S):
        began_s = time.monotonic()
        rows = db.retry(lambda tx: roll_up(tx, before))
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        if rows is None:
            end = End.BUSY
            break
        rolled_up += rows
        if rows < BATCH:
            end = End.DONE
            break
    left = db.run(LEFT, before=before, most=MOST_COUNTED).scalar()
    report = {"rolled_up": rolled_up, "left": left, "end": end}
    logger.info("roll-up", **report)
    return report


def roll_up(tx: Transaction, before: datetime) -> int | None:
    """Count and delete one batch in one transaction; None where another run has the lock.

    The lock ends with the transaction: a session's lock would stay with the pooler's connection,
    and the broker refuses it. So two runs may follow each other between batches, but never meet.
    """
    if not tx.run(MINE).scalar():
        return None
    return int(tx.run(ROLL_UP, before=before, batch=BATCH).scalar())


def setup(event: dict[str, Any], context: object) -> str:
    """Create the tables, with a visit for each minute from 2026-01-01 on."""
    db.run(
        "create table if not exists visits (id bigint generated always as identity primary key,"
        " page text not null, at timestamptz not null)"
    )
    db.run("create index if not exists visits_at on visits (at)")
    db.run(
        "create table if not exists visits_daily (day date, page text, visits bigint not null,"
        " primary key (day, page))"
    )
    db.run(
        "insert into visits (page, at)"
        " select '/' || n % 2, '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute'"
        " from generate_series(0, cast(:minutes as int) - 1) as n",
        minutes=event.get("minutes", 2500),
    )
    return "created"


def show(event: object, context: object) -> list[dict[str, Any]]:
    """Return the daily counts."""
    return db.read(
        "select day::text, page, visits from visits_daily order by day, page limit 10"
    ).dicts()
