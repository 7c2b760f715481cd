"""What a broker keeps between calls: deadlines, transactions of threads, and forks.

What it does with a server is in tests/integration.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any

import pytest

from broker import Broker, opening
from broker.errors import (
    ConnectionLost,
    DeadlineExceeded,
    NestedTransaction,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    StatementError,
    UnsafeStatement,
    UsageError,
)
from broker.settings import Flavour
from broker.wire import Status
from tests.unit.fakes import FakeClock, FakeSession, settings


@pytest.fixture
def opened(monkeypatch) -> list[FakeSession]:
    """Sessions that were opened, none of them real."""
    sessions: list[FakeSession] = []

    def connect(config, password, context, deadline, clock) -> Any:
        sessions.append(FakeSession(clock.now()))
        return sessions[-1]

    monkeypatch.setattr(opening, "connect", connect)
    return sessions


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db(opened, clock) -> Broker:
    return Broker(settings(max_sessions=2), clock=clock)


def raising(session: FakeSession, error: Exception, *, whole: bool) -> None:
    def answer():
        session.whole = whole
        raise error

    session.answers.append(answer)


def test_a_statement_is_run_and_its_session_is_idle_again(db, opened):
    assert db.run("select 1") == [[1]]
    assert db.stats()[:4] == (1, 1, 1, 0)


@pytest.mark.parametrize("error", [StatementError("no"), ValueError("a converter's")])
def test_a_statement_that_fails_gives_its_session_back(db, opened, error):
    db.run("select 1")
    raising(opened[0], error, whole=True)
    with pytest.raises(type(error)):
        db.run("select 1")

    assert db.stats()[:2] == (1, 1)


@pytest.mark.parametrize(
    ("error", "whole", "kind"),
    [
        (ConnectionLost("gone"), False, OutcomeUnknown),
        (DeadlineExceeded(), False, OutcomeUnknownAtDeadline),
        (DeadlineExceeded(), True, DeadlineExceeded),
    ],
)
def test_a_statement_whose_answer_was_lost_is_unknown_and_not_sent_again(
    db, opened, error, whole, kind
):
    db.run("select 1")
    raising(opened[0], error, whole=whole)
    with pytest.raises(kind) as raised:
        db.run("insert into t values (1)")

    assert type(raised.value) is kind
    assert len(opened) == 1
    assert len(opened[0].flights) == 2


def test_a_statement_that_surely_did_not_run_is_run_on_another_session(db, opened, clock):
    db.run("select 1")
    raising(opened[0], ConnectionLost("gone", may_have_run=False), whole=False)

    assert db.run("select 2") == [[1]]
    assert len(opened) == 2
    assert opened[0].closed
    assert len(clock.slept) == 1


def test_what_cannot_be_run_takes_no_session(db, opened):
    for sql, error in (("commit", UnsafeStatement), ("select :a", UsageError)):
        with pytest.raises(error):
            db.run(sql)

    assert opened == []


def test_a_transaction_of_this_thread_excludes_what_would_not_be_part_of_it(db, opened):
    with db.transaction() as tx:
        tx.run("select 1")
        for call in (
            lambda: db.run("select 1"),
            lambda: db.transaction().__enter__(),
            lambda: db.session().__enter__(),
            lambda: db.retry(lambda tx: None),
        ):
            with pytest.raises(NestedTransaction):
                call()
    db.run("select 1")

    assert len(opened) == 1


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), GeneratorExit()])
def test_an_exception_rolls_back_and_comes_out_as_it_was(db, opened, error):
    with pytest.raises(type(error)) as raised, db.transaction() as tx:
        tx.run("select 1")
        raise error

    assert raised.value is error
    assert opened[0].flights[-1][1] == b"rollback"
    assert db.stats()[:2] == (1, 1)
    db.run("select 1")


def test_a_rollback_that_fails_does_not_hide_the_first_error(db, opened):
    with pytest.raises(ValueError, match="mine"), db.transaction() as tx:
        tx.run("select 1")
        raising(opened[0], ConnectionLost(), whole=False)
        raise ValueError("mine")

    assert db.stats()[:2] == (0, 0)


def test_a_session_lent_out_is_rolled_back_and_closed(opened, clock):
    for flavour in (Flavour.PGBOUNCER, Flavour.RDS_PROXY, Flavour.DIRECT):
        db = Broker(settings(flavour=flavour), clock=clock)
        with db.session():
            opened[-1].status = Status.TRANSACTION
        assert opened[-1].flights[-1][1] == b"rollback"
        assert opened[-1].closed
        assert db.stats()[:2] == (0, 0)


def test_an_invocation_that_ends_rolls_back_and_closes_what_is_open(db, opened):
    leaked = db.transaction()
    leaked.__enter__().run("select 1")
    (leak,) = db.end_invocation()

    assert leak.in_transaction
    assert leak.place[0] == __file__
    assert [text for _, text in opened[0].flights] == [b"select 1", b"rollback"]
    assert opened[0].closed
    assert db.stats().leaks == 1
    db.run("select 1")
    with pytest.raises(ConnectionLost):
        leaked.__exit__(None, None, None)
    assert len(opened[0].flights) == 2
    db.run("select 1")


def test_a_transaction_that_leaked_in_another_thread_does_not_block_that_thread_for_ever(
    db, opened
):
    """A worker of a pool lives on in the next invocation."""
    step, goes_on = threading.Event(), threading.Event()
    results: list[Any] = []

    def work() -> None:
        leaked = db.transaction()
        leaked.__enter__().run("select 1")
        step.set()
        goes_on.wait(10)
        try:
            results.append(db.run("select 2"))
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    step.wait(10)
    db.end_invocation()
    goes_on.set()
    thread.join()

    assert results == [[[1]]]


@pytest.mark.parametrize("call", ["run", "read", "transaction"])
def test_what_was_not_sent_when_its_invocation_ended_is_not_sent_after_it(call, db, opened):
    """By a thread that outlives it: the environment would be frozen in the middle of it."""
    db.begin_invocation(None)
    db.run("select 1")
    unsent = ConnectionLost("gone", may_have_run=False)

    def answer():
        opened[0].whole = False
        db.end_invocation()
        raise unsent

    opened[0].answers.append(answer)
    with pytest.raises(ConnectionLost) as raised:
        if call == "transaction":
            with db.transaction() as tx:
                tx.run("select 1")
        else:
            getattr(db, call)("select 1")

    assert raised.value is unsent
    assert len(opened) == 1


def test_a_generator_that_is_closed_by_another_thread_still_rolls_back(db, opened):
    """As the garbage collector does, in whichever thread it runs."""
    leaked = db.transaction()
    leaked.__enter__().run("select 1")
    raised: list[BaseException] = []

    def collect() -> None:
        try:
            leaked.gen.close()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    thread.join()

    assert raised == []
    assert db.stats()[:2] == (1, 1)


def test_the_invocation_bounds_what_runs_in_it_and_nothing_after_it(db, clock, opened):
    class Context:
        aws_request_id = "1"

        @staticmethod
        def get_remaining_time_in_millis() -> int:
            return 3_000

    db.begin_invocation(Context())
    assert db._current.deadline().remaining_s() == pytest.approx(2.5)
    db.run("select 1")
    assert opened[0].flights == [(None, b"select 1 /*request_id='1'*/")]
    db.end_invocation()

    assert db._current.deadline().remaining_s() == 30


# Forks. `_after_fork` is what the child runs; the real fork is in tests/integration.


def test_a_forked_childs_metrics_and_stats_count_the_same_things(db, opened):
    db.run("select 1")
    db._after_fork()
    db.run("select 1")

    assert db.recorder.take().counts == {"opened": 1}
    assert db.stats().opened == 1


def test_forked_children_do_not_all_draw_the_same_jitter(opened):
    """Or a herd of them would stay one."""
    db = Broker(settings())
    before = db._rng.getstate()
    db._after_fork()

    assert db._rng.getstate() != before


def test_a_transaction_that_a_fork_took_away_ends_in_the_child_with_an_error_that_says_so(
    db, opened
):
    with pytest.raises(ConnectionLost), db.transaction() as tx:
        tx.run("select 1")
        db._after_fork()

    assert opened[0].abandoned
    assert not opened[0].closed
    db.run("select 1")


def test_its_repr_shows_where_and_as_whom_and_no_secret(db):
    assert repr(db) == "<Broker db.example:5432/appdb as app, pgbouncer>"


def test_a_read_brings_begin_and_commit_along_and_is_sent_again_where_its_answer_is_lost(
    db, opened
):
    db.run("select 1")
    raising(opened[0], ConnectionLost("reset"), whole=False)
    db.read("select 2")
    flight = (b"begin read only", b"select 2")
    assert opened[0].flights[1:] == opened[1].flights == [flight]
    assert opened[0].tracked[1:] == opened[1].tracked == [True]  # COMMIT rides
    assert (db.stats().transaction_retries, db.stats().outcomes_unknown) == (1, 0)
    assert opened[1].status is Status.IDLE


def test_retry_enters_what_it_is_given_for_each_attempt(db, opened):
    class Wrapped(Exception):  # as SQLAlchemy does
        def __init__(self, orig):
            self.orig = orig

    entered: list[int] = []
    left: list[int] = []

    @contextmanager
    def begin():
        entered.append(len(entered))
        yield entered[-1]
        left.append(entered[-1])

    def fn(number):
        if number < 2:
            raise Wrapped(ConnectionLost("gone"))
        return number

    assert db.retry(fn, begin=begin) == 2
    assert (entered, left) == ([0, 1, 2], [2])
    with pytest.raises(Wrapped):
        db.retry(lambda _: fn(0), begin=begin, attempts=2)
    assert len(entered) == 5
    with pytest.raises(UsageError, match="begin"):
        db.retry(fn, begin=begin, isolation="serializable")


def test_retry_runs_the_whole_transaction_again_and_no_more_than_it_was_told(db, opened):
    calls = []

    def fn(tx):
        calls.append(tx)
        tx.run("select 1")
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        db.retry(fn, attempts=3)
    assert len(calls) == len(set(calls)) == 3
    assert db.stats().transaction_retries == 2
    assert all(session.status is Status.IDLE for session in opened)
    with pytest.raises(UsageError, match="attempts=0"):
        db.retry(fn, attempts=0)
