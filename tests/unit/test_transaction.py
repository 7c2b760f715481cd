"""A transaction commits whole or not at all, says which, and always gives its session back."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import pytest

from broker.deadline import Deadline
from broker.errors import (
    BrokerError,
    CheckoutTimeout,
    ConnectionLost,
    DeadlineExceeded,
    IntegrityError,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    ParameterError,
    StatementError,
    TransactionAborted,
    TransactionEnded,
    UnsafeStatement,
    UsageError,
)
from broker.guard import Guard
from broker.settings import Flavour, GuardMode
from broker.transaction import Means, Transaction, begin_sql
from broker.wire import Reply, Status
from tests.unit.fakes import FakeClock, FakeSession


class Lender:
    """Lends one session at a time, a new one where the last is gone, and counts its returns."""

    def __init__(self) -> None:
        self.session = FakeSession()
        self.lent = self.returned = 0
        self.refusal: BrokerError | None = None
        self.answers: list[Callable[[], Reply]] = []
        """Of the sessions after the first."""
        self.counts: list[str] = []
        self.clock = FakeClock()

    def checkout(self, deadline: Deadline) -> Any:
        """Lend it, or refuse."""
        if self.refusal:
            raise self.refusal
        self.lent += 1
        if not self.session.whole:
            self.session = FakeSession()
            self.session.answers = self.answers
        return self.session

    def give_back(self, session: Any) -> None:
        """Take it back."""
        assert session is self.session
        self.returned += 1


@pytest.fixture
def lender() -> Lender:
    return Lender()


@pytest.fixture
def tx(lender: Lender) -> Transaction:
    deadline = Deadline.after(10, lender.clock)
    return Transaction(means(lender), deadline, b"begin", b" /*request_id='1'*/")


def means(lender: Lender) -> Means:
    guard = Guard(Flavour.PGBOUNCER, GuardMode.REFUSE)
    return Means(lender, guard, True, lender.counts.append, lender.clock, random.Random(1))


def answers(lender: Lender, *answer: Callable[[], Reply]) -> None:
    lender.session.answers += answer


def raises(
    error: BaseException, lender: Lender, *, status: Status | None = None, whole: bool = True
) -> Callable[[], Reply]:
    def answer() -> Reply:
        lender.session.whole = whole
        if status is not None:
            lender.session.status = status
        raise error

    return answer


def texts(lender: Lender) -> list[tuple[bytes | None, bytes]]:
    return [(begin, text.split(b" /*")[0]) for begin, text in lender.session.flights]


# What is sent


def test_begin_rides_with_the_first_statement_and_commit_is_a_flight_of_its_own(lender, tx):
    tx.run("select 1")
    tx.run("select 2")
    tx.commit()

    assert texts(lender) == [(b"begin", b"select 1"), (None, b"select 2"), (None, b"commit")]
    assert (lender.lent, lender.returned) == (1, 1)
    assert lender.session.clean


def test_every_flight_is_named_after_the_request(lender, tx):
    tx.run("select 1")
    tx.commit()

    assert all(text.endswith(b" /*request_id='1'*/") for _, text in lender.session.flights)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_without_a_statement_costs_nothing(lender, tx, end):
    assert tx.run_many("insert into t values (:n)", []).row_count == 0
    getattr(tx, end)()

    assert lender.lent == lender.returned == 0
    assert lender.session.flights == []


def test_rolling_back_is_a_flight_of_its_own_and_the_session_is_returned(lender, tx):
    tx.run("select 1")
    tx.rollback()

    assert texts(lender)[-1] == (None, b"rollback")
    assert lender.returned == 1


def test_the_rows_of_run_many_may_be_made_on_the_way(lender, tx):
    result = tx.run_many("insert into t values (:n)", ({"n": n} for n in range(3)))

    assert len(result) == 1
    assert texts(lender) == [(b"begin", b"insert into t values ($1)")]


# What is refused before it is sent


@pytest.mark.parametrize(
    "sql",
    ["commit", "rollback", "begin", "end", "copy t from stdin"],
)
def test_what_a_transaction_must_not_be_sent_is_refused_and_takes_no_session(lender, tx, sql):
    with pytest.raises(UnsafeStatement):
        tx.run(sql)

    assert lender.lent == 0
    tx.commit()


@pytest.mark.parametrize(
    "sql",
    [
        "call transfer(1, 2)",
        "do $$ begin perform 1; end $$",
        "refresh materialized view concurrently v",
        "reindex table t",
        "alter database d set work_mem = '1MB'",
    ],
)
def test_what_postgres_runs_in_a_transaction_is_sent(lender, tx, sql):
    """PostgreSQL manual, CALL: in a transaction block only its own COMMIT is refused."""
    tx.run(sql)

    assert texts(lender)[0][0] == b"begin"


def test_a_wrong_parameter_is_refused_and_the_next_statement_still_begins(lender, tx):
    with pytest.raises(ParameterError):
        tx.run("select :a", b=1)
    tx.run("select 1")

    assert texts(lender) == [(b"begin", b"select 1")]


def test_a_first_statement_that_was_not_sent_did_not_begin(lender, tx):
    """Or what follows would be committed one by one."""
    answers(lender, raises(ParameterError("a parameter cannot be sent"), lender))
    with pytest.raises(ParameterError):
        tx.run("select :a", a=object())
    tx.run("insert into t values (1)")
    tx.commit()

    assert texts(lender)[1:] == [(b"begin", b"insert into t values (1)"), (None, b"commit")]


def test_a_begin_that_was_refused_did_not_begin(lender, tx):
    answers(lender, raises(StatementError(sqlstate="0A000"), lender, status=Status.IDLE))
    with pytest.raises(StatementError):
        tx.run("select 1")
    tx.run("insert into t values (1)")

    assert texts(lender)[-1] == (b"begin", b"insert into t values (1)")


def test_a_transaction_whose_only_statement_was_not_sent_has_nothing_to_commit(lender, tx):
    answers(lender, raises(ParameterError("no"), lender))
    with pytest.raises(ParameterError):
        tx.run("select :a", a=object())
    tx.commit()

    assert len(lender.session.flights) == 1
    assert lender.returned == 1


def test_a_checkout_that_failed_leaves_nothing_to_return(lender, tx):
    lender.refusal = CheckoutTimeout()
    with pytest.raises(CheckoutTimeout):
        tx.run("select 1")
    tx.rollback()

    assert lender.returned == 0


# What becomes of it


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize(
    "call",
    [
        lambda tx: tx.run("select 1"),
        lambda tx: tx.run_many("select :n", [{"n": 1}]),
        lambda tx: tx.run_many("select :n", []),
    ],
)
@pytest.mark.parametrize("used", [True, False])
def test_after_its_end_a_transaction_is_refused(lender, tx, end, call, used):
    if used:
        tx.run("select 1")
    getattr(tx, end)()
    with pytest.raises(TransactionEnded):
        call(tx)

    assert lender.lent == lender.returned == used


def test_ending_twice_ends_once(lender, tx):
    tx.run("select 1")
    tx.commit()
    tx.commit()
    tx.rollback()

    assert lender.returned == 1
    assert len(lender.session.flights) == 2


def test_a_failure_that_was_swallowed_is_not_committed_and_not_passed_over(lender, tx):
    answers(lender, raises(IntegrityError(sqlstate="23505"), lender, status=Status.FAILED))
    with pytest.raises(IntegrityError):
        tx.run("insert into t values (1)")
    with pytest.raises(TransactionAborted) as raised:
        tx.commit()

    assert raised.value.sqlstate == "25P02"
    assert texts(lender)[-1] == (None, b"rollback")
    assert (lender.returned, lender.session.clean) == (1, True)


def test_a_commit_that_the_server_answers_with_rollback_is_not_taken_for_one(lender, tx):
    tx.run("select 1")
    answers(lender, lambda: Reply((), [], -1, b"ROLLBACK"))
    with pytest.raises(TransactionAborted):
        tx.commit()

    assert lender.returned == 1


def test_a_commit_that_the_server_refuses_is_refused_and_known(lender, tx):
    tx.run("select 1")
    answers(lender, raises(IntegrityError(sqlstate="23503"), lender, status=Status.IDLE))
    with pytest.raises(IntegrityError):
        tx.commit()

    assert lender.returned == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionLost("gone"), OutcomeUnknown),
        (DeadlineExceeded(), OutcomeUnknownAtDeadline),
    ],
)
def test_a_commit_whose_answer_was_lost_is_unknown_and_not_retryable(lender, tx, error, kind):
    """Nothing is known to ask for: no statement carried the transaction's id."""
    tx.run("select 1")
    answers(lender, raises(error, lender, whole=False))
    with pytest.raises(kind) as raised:
        tx.commit()

    assert type(raised.value) is kind
    assert not raised.value.retryable
    assert raised.value.__cause__ is error
    assert lender.returned == 1


@pytest.mark.parametrize(
    ("error", "whole"),
    [(ConnectionLost("gone", may_have_run=False), False), (DeadlineExceeded(), True)],
)
def test_a_commit_that_was_not_sent_is_known_not_to_have_happened(lender, tx, error, whole):
    tx.run("select 1")
    answers(lender, raises(error, lender, whole=whole))
    with pytest.raises(type(error)) as raised:
        tx.commit()

    assert raised.value is error
    assert lender.returned == 1


# What becomes of a COMMIT whose answer was lost


def written(lender: Lender, tx: Transaction, cell: bytes = b"740@10.0.0.1:5432/1.5/1.7") -> None:
    """Let the transaction write once, the id riding along."""

    def answer() -> Reply:
        lender.session.status = Status.TRANSACTION
        return Reply((), [], 1, b"UPDATE 1", cell)

    answers(lender, answer)
    tx.run("update t set n = 1")


def lose_the_answer(lender: Lender, *said: str) -> None:
    """Let the next flight be COMMIT, its answer lost, and the server say this when asked."""
    answers(lender, raises(ConnectionLost("gone", sqlstate="57P01"), lender, whole=False))
    for one in said:
        reply = Reply(("case",), [[one]], 1, b"SELECT 1")
        lender.answers.append(partial(copy, reply))


@pytest.mark.parametrize("said", [["committed"], ["in progress", "in progress", "committed"]])
def test_a_commit_that_the_server_knows_of_has_happened(lender, tx, said):
    written(lender, tx)
    lose_the_answer(lender, *said)
    tx.commit()

    assert lender.session.flights[0][1].startswith(b"select case when concat(inet_server_addr()")
    assert lender.lent == lender.returned == 1 + len(said)
    assert lender.counts == ["commits_looked_up"]


def test_a_commit_that_the_server_rolled_back_may_be_run_again(lender, tx):
    written(lender, tx)
    lose_the_answer(lender, "aborted")
    with pytest.raises(ConnectionLost, match="kept nothing") as raised:
        tx.commit()

    assert raised.value.retryable
    assert raised.value.sqlstate == "57P01"


@pytest.mark.parametrize("said", ["forgotten", "elsewhere", "in progress"])
def test_what_the_server_cannot_tell_is_unknown_and_names_the_transaction(lender, tx, said):
    """Until the deadline, where it may come to know."""
    written(lender, tx)
    lose_the_answer(lender, *[said] * 5000)
    with pytest.raises(OutcomeUnknown) as raised:
        tx.commit()

    assert raised.value.transaction_id == "740"
    assert not raised.value.retryable
    assert lender.counts == ["commits_looked_up", "outcomes_unknown"]
    assert (len(lender.session.flights) == 1) is (said != "in progress")
    late = isinstance(raised.value, OutcomeUnknownAtDeadline)
    assert late is (said == "in progress")
    assert getattr(raised.value, "phase", None) == ("lookup" if late else None)
    assert raised.value.sqlstate == "57P01"


@pytest.mark.parametrize("error", [CheckoutTimeout(), ConnectionLost(), StatementError()])
def test_a_lookup_that_fails_never_hides_the_unknown(lender, tx, error):
    written(lender, tx)
    lose_the_answer(lender)
    lender.answers += [raises(error, lender, whole=False) for _ in range(5000)]
    with pytest.raises(OutcomeUnknownAtDeadline) as raised:
        tx.commit()

    assert (raised.value.transaction_id, raised.value.phase) == ("740", "lookup")


def test_the_id_rides_with_writes_until_it_is_known(lender, tx):
    tx.run("select 1")
    written(lender, tx, b"@10.0.0.1:5432/1.5/1.7")  # it wrote nothing: no id was assigned
    written(lender, tx)
    tx.run("update t set n = 2")
    tx.commit()

    assert lender.session.tracked == [False, True, True, False, False]


def test_a_read_only_transaction_is_never_unknown(lender):
    deadline = Deadline.after(10, lender.clock)
    tx = Transaction(means(lender), deadline, b"begin read only", b"", read_only=True)
    tx.run("with x as (select 1) select * from x")
    answers(lender, raises(ConnectionLost("gone"), lender, whole=False))
    with pytest.raises(ConnectionLost) as raised:
        tx.commit()

    assert raised.value.retryable
    assert lender.session.tracked == [False, False]


# A first statement that was not sent


def unsent() -> ConnectionLost:
    return ConnectionLost("the session ended before", may_have_run=False)


def test_a_first_statement_that_was_not_sent_is_sent_on_another_session(lender, tx):
    first = lender.session
    answers(lender, raises(unsent(), lender, whole=False))
    lender.answers.append(raises(unsent(), lender, whole=False))
    assert tx.run("select 1").scalar() == 1
    tx.commit()

    assert first is not lender.session
    assert texts(lender) == [(b"begin", b"select 1"), (None, b"commit")]
    assert lender.lent == lender.returned == 3


def test_a_later_statement_is_not_since_what_came_before_is_lost(lender, tx):
    tx.run("select 1")
    answers(lender, raises(unsent(), lender, whole=False))
    with pytest.raises(ConnectionLost):
        tx.run("select 2")

    assert lender.lent == 1


def test_a_session_lost_by_an_earlier_statement_commits_nothing_and_says_so(lender, tx):
    answers(lender, raises(ConnectionLost("gone"), lender, whole=False))
    with pytest.raises(ConnectionLost):
        tx.run("select 1")
    with pytest.raises(ConnectionLost):
        tx.run("select 2")
    with pytest.raises(ConnectionLost, match="earlier statement"):
        tx.commit()

    assert len(lender.session.flights) == 1
    assert lender.returned == 1


@pytest.mark.parametrize("error", [ConnectionLost(), DeadlineExceeded(), StatementError()])
def test_rolling_back_never_fails_and_returns_a_session_that_is_not_clean(lender, tx, error):
    tx.run("select 1")
    answers(lender, raises(error, lender))
    tx.rollback()

    assert lender.returned == 1
    assert not lender.session.clean


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a converter's")])
def test_whatever_a_statement_raises_the_session_is_returned_once(lender, tx, error):
    answers(lender, raises(error, lender, status=Status.TRANSACTION, whole=False))
    with pytest.raises(type(error)):
        tx.run("select 1")
    tx.rollback()

    assert lender.returned == 1


def test_its_repr_says_where_it_stands(tx):
    assert repr(tx) == "<Transaction not begun>"
    tx.run("select 1")
    assert repr(tx) == "<Transaction open>"
    tx.commit()
    assert repr(tx) == "<Transaction ended>"


# BEGIN


@pytest.mark.parametrize(
    ("options", "sql"),
    [
        ({}, b"begin"),
        ({"read_only": True}, b"begin read only"),
        ({"isolation": "serializable"}, b"begin isolation level serializable"),
        ({"isolation": "REPEATABLE_READ"}, b"begin isolation level repeatable read"),
        ({"isolation": "  Read  Committed "}, b"begin isolation level read committed"),
        (
            {"isolation": "serializable", "read_only": True},
            b"begin isolation level serializable read only",
        ),
    ],
)
def test_begin_asks_for_what_was_asked(options, sql):
    assert begin_sql(**{"read_only": False, "isolation": None, **options}) == sql


@pytest.mark.parametrize("level", ["", "snapshot", "serializable; drop table t", "read"])
def test_a_level_there_is_not_is_refused_with_those_there_are(level):
    with pytest.raises(UsageError, match="'repeatable read', 'serializable'"):
        begin_sql(read_only=False, isolation=level)
