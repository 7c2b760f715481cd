"""Promise 4: nothing outlives its deadline, and the server stops what its caller gave up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from broker import (
    Broker,
    CheckoutTimeout,
    DeadlineExceeded,
    OutcomeUnknownAtDeadline,
    SerializationFailure,
    StatementCanceled,
)
from broker.local.pgbouncer import PgBouncer
from broker.reuse import Reason
from tests.conftest import Database
from tests.wait import wait_until

Brokers = Callable[..., Broker]
RUNNING = "select count(*) from pg_stat_activity where usename = :role and state = 'active'"


@pytest.fixture(params=["direct", "pgbouncer"])
def db_of(
    request: pytest.FixtureRequest, broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> Brokers:
    pooler = pgbouncer() if request.param == "pgbouncer" else None
    return lambda **changes: broker_to(pooler, **changes)


def test_the_server_stops_the_statement_and_the_session_stays(
    db_of: Brokers, database: Database
) -> None:
    db = db_of(timeout_s=0.3)
    with pytest.raises(DeadlineExceeded) as raised:
        db.run("select pg_sleep(60)")
    assert raised.value.sqlstate == "57014"
    assert not isinstance(raised.value, OutcomeUnknownAtDeadline)
    assert database.server.admin(RUNNING, role=database.user) == [[0]]
    assert db.run("select 1").scalar() == 1
    assert db.stats().opened == 1


def test_the_bound_is_gone_after_the_statement(db_of: Brokers) -> None:
    db = db_of(timeout_s=5)
    db.run("select 1")
    assert db.run("vacuum") is not None  # rides with nothing
    with db.session() as session:
        shown = session.run("show statement_timeout")[0][0]
        assert shown == "0" or db.settings.flavour.value == "direct"


def test_a_statement_in_a_transaction_is_bounded_too(db_of: Brokers, database: Database) -> None:
    db = db_of(timeout_s=0.5)
    with pytest.raises(DeadlineExceeded), db.transaction() as tx:
        tx.run("select 1")
        tx.run("select pg_sleep(60)")
    wait_until(
        lambda: database.server.admin(RUNNING, role=database.user) == [[0]],
        "the statement to be stopped",
    )


def test_a_batch_of_slow_rows_is_stopped_on_the_server_as_a_whole(
    db_of: Brokers, database: Database
) -> None:
    """statement_timeout begins anew with each row, so the batch is cancelled."""
    db = db_of(timeout_s=1.0)
    with pytest.raises(DeadlineExceeded), db.transaction() as tx:
        tx.run_many("select pg_sleep(0.5), :n::int", [{"n": n} for n in range(60)])
    wait_until(
        lambda: database.server.admin(RUNNING, role=database.user) == [[0]],
        "the batch to be stopped on the server",
        timeout_s=15.0,
    )


def test_a_lent_sessions_statement_is_stopped_on_the_server(
    db_of: Brokers, database: Database
) -> None:
    db = db_of(timeout_s=0.5)
    with pytest.raises(Exception), db.session() as session:  # noqa: B017  ours, or pg8000's own
        session.run("select pg_sleep(60)")
    wait_until(
        lambda: database.server.admin(RUNNING, role=database.user) == [[0]],
        "the statement to be stopped on the server",
    )


def test_retries_end_at_the_deadline_of_the_whole(broker_to: Brokers) -> None:
    tries: list[float] = []

    def conflict(tx: Any) -> None:
        tries.append(1)
        tx.run("select pg_sleep(0.3)")
        raise SerializationFailure("could not serialize", sqlstate="40001")

    with pytest.raises((SerializationFailure, DeadlineExceeded)):
        broker_to(timeout_s=0.5).retry(conflict, attempts=50)
    assert len(tries) <= 2


def test_an_environment_without_time_or_session_says_that_it_is_the_time(
    broker_to: Brokers,
) -> None:
    db = broker_to()
    db.begin_invocation(context_with(left_ms=100))
    with pytest.raises(DeadlineExceeded) as raised:
        db.run("select 1")
    assert raised.value.phase == "connecting"
    db.end_invocation()


def test_who_waits_for_a_session_until_the_deadline_hears_that_he_waited(
    db_of: Brokers,
) -> None:
    db = db_of(max_sessions=1, timeout_s=0.5)
    took = threading.Event()
    over = threading.Event()

    def hold() -> None:
        with db.transaction() as tx:
            tx.run("select 1")
            took.set()
            over.wait(60)

    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(hold)
        try:
            wait_until(took.is_set, "the only session to be taken")
            with pytest.raises(CheckoutTimeout) as raised:
                db.run("select 1")
        finally:
            over.set()
        held.exception()  # its own deadline has passed as well
    assert (raised.value.phase, round(raised.value.budget_s or 0, 1)) == ("waiting", 0.5)
    assert "test_deadline.py" in str(raised.value)
    assert db.stats().opened == 1


def test_what_the_role_enforces_already_is_not_sent_again(
    db_of: Brokers, database: Database
) -> None:
    """The rule in broker/bound.py: seen in the text of what the server was sent."""
    database.server.admin(f"alter role {database.user} set statement_timeout = '30s'")
    db = db_of(timeout_s=30)
    db.run("select 1")  # learns it
    bounded = "select current_setting('statement_timeout') where :n::int = 1"
    assert db.run(bounded, n=1).scalar() == "30s"
    db.begin_invocation(context_with(left_ms=5500))
    assert db.run(bounded, n=1).scalar() != "30s"
    db.end_invocation()


def test_nothing_rides_under_rds_proxy(broker_to: Brokers) -> None:
    from broker.settings import Flavour

    db = broker_to(flavour=Flavour.RDS_PROXY, timeout_s=30)
    assert db.run("select current_setting('statement_timeout')").scalar() == "0"
    with db.transaction() as tx:
        assert tx.run("select current_setting('statement_timeout')").scalar() == "0"


def test_a_server_that_does_not_stop_leaves_the_outcome_unknown(
    broker_to: Brokers, database: Database
) -> None:
    """Without a bound on the server, the client gives up by itself and keeps no session."""
    from broker.settings import Flavour

    db = broker_to(flavour=Flavour.RDS_PROXY, timeout_s=0.3)
    with pytest.raises(OutcomeUnknownAtDeadline) as raised:
        db.run("select pg_sleep(2)")
    assert isinstance(raised.value, DeadlineExceeded)
    assert raised.value.phase == "statement"
    assert db.stats().replaced == {Reason.INTERRUPTED: 1}


def test_a_cancel_by_somebody_else_is_not_taken_for_the_deadline(
    broker_to: Brokers, database: Database
) -> None:
    database.server.admin(f"alter role {database.user} set statement_timeout = '100ms'")
    with pytest.raises(StatementCanceled):
        broker_to(timeout_s=30).run("select pg_sleep(60)")


def test_an_invocation_with_no_time_left_sends_nothing(
    broker_to: Brokers, database: Database
) -> None:
    db = broker_to()
    db.run("create table t (n int)")
    db.begin_invocation(context_with(left_ms=100))  # less than the margin for the answer
    with pytest.raises(DeadlineExceeded) as raised:
        db.run("insert into t values (1)")
    assert raised.value.phase == "statement"
    assert not isinstance(raised.value, OutcomeUnknownAtDeadline)
    db.end_invocation()
    assert db.run("select count(*) from t").scalar() == 0


class context_with:
    aws_request_id = "r-1"

    def __init__(self, left_ms: int) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


def test_what_came_too_late_says_in_which_phase_and_how_much_time_there_was(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to(timeout_s=0.4)
    with pytest.raises(DeadlineExceeded) as raised:
        db.run("select pg_sleep(30)")
    error = raised.value
    assert (error.phase, round(error.budget_s or 0, 1)) == ("statement", 0.4)
    assert error.took_s is not None
    assert error.took_s > 0.2
    assert "of 0.40 s had passed" in str(error)
