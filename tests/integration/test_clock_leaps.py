"""A monotonic clock that leaps, at any of its readings: typed errors, and the truth about the rows.

While an environment is frozen, CLOCK_MONOTONIC may stand still or go on; what it does on thawing
is not documented. So every reading that an operation makes is, once, the one at which it leaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from broker import Broker, BrokerError, DeadlineExceeded, OutcomeUnknown, ServerUnavailable
from broker.local.pgbouncer import PgBouncer
from broker.settings import Flavour
from tests.conftest import Database
from tests.leaping import LeapingClock

INSERT = "insert into ledger values (:token)"
HOUR_S = 3600.0
TIMEOUT_S = 20.0  # below the hour, above the second
Operation = Callable[[Broker, str], object]


def run(db: Broker, token: str) -> object:
    return db.run(INSERT + " returning token", token=token).scalar()


def transaction(db: Broker, token: str) -> object:
    with db.transaction() as tx:
        tx.run("select 1")
        return tx.run(INSERT + " returning token", token=token).scalar()


def retry(db: Broker, token: str) -> object:
    return db.retry(lambda tx: tx.run(INSERT + " returning token", token=token).scalar())


def large(db: Broker, token: str) -> object:
    """Send what does not fit into one write, and read what does not fit into one."""
    ballast = "x" * 300_000
    sql = INSERT + " returning token, repeat(:ballast, 3)"
    return db.run(sql, token=token, ballast=ballast)[0][0]


def anew(db: Broker, token: str) -> object:
    """Open a session for it."""
    db.before_snapshot()
    return run(db, token)


def lent(db: Broker, token: str) -> object:
    with db.session() as session:
        return session.run(INSERT + " returning token", token=token)[0][0]


@pytest.fixture(params=[Flavour.DIRECT, Flavour.PGBOUNCER])
def clock_and_db(
    request: pytest.FixtureRequest, database: Database, pgbouncer: Callable[..., PgBouncer]
) -> Iterator[tuple[LeapingClock, Broker]]:
    pooler = pgbouncer() if request.param is Flavour.PGBOUNCER else None
    clock = LeapingClock()
    with Broker(database.settings(pooler, timeout_s=TIMEOUT_S), clock=clock) as db:
        db.run("create table ledger (token text)")
        yield clock, db


@pytest.mark.timeout(300)
@pytest.mark.parametrize("leap_s", [1.0, HOUR_S])
@pytest.mark.parametrize("operation", [run, transaction, retry, large, anew, lent])
def test_a_leap_at_any_reading_is_survived_or_late_and_never_wrong(
    clock_and_db: tuple[LeapingClock, Broker],
    database: Database,
    operation: Operation,
    leap_s: float,
) -> None:
    """A leap within the deadline is seen by nobody; one beyond it has passed the deadline."""
    clock, db = clock_and_db
    late = 0
    for reading in itertools.count(1):
        token = f"{operation.__name__} {reading}"
        clock.leap(leap_s, reading)
        raised: BrokerError | None = None
        try:
            assert operation(db, token) == token
        except (DeadlineExceeded, ServerUnavailable) as error:
            raised = error
            late += 1
        if not clock.leapt:
            break  # it makes fewer readings: each of them was the one
        rows = database.server.admin(
            "select count(*) from ledger where token = :token",
            database=database.name,
            token=token,
        )[0][0]
        if raised is None:
            assert rows == 1
        elif not isinstance(raised, OutcomeUnknown):
            assert rows == 0, raised
        assert leap_s > TIMEOUT_S or raised is None, raised
        assert db.stats().sessions_open <= 1
        clock.leapt = True
        assert db.run("select :token", token=token).scalar() == token
    assert reading > 2
    assert (late > 0) is (leap_s > TIMEOUT_S)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_session_that_was_ended_in_a_freeze_is_not_served(
    clock_and_db: tuple[LeapingClock, Broker], database: Database, stopped: bool
) -> None:
    """Whether the monotonic clock stood still meanwhile or went on: one clock is enough."""
    clock, db = clock_and_db
    assert run(db, "before") == "before"
    if stopped:
        clock.wall_ahead_s += HOUR_S
    else:
        clock.ahead_s += HOUR_S
    database.kill_backends()
    assert run(db, "after") == "after"
    assert db.stats().outcomes_unknown == 0
