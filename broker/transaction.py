"""A transaction: BEGIN rides with the first statement, COMMIT is a flight of its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from broker import statements
from broker.deadline import Deadline
from broker.errors import (
    BrokerError,
    ConnectionLost,
    TransactionAborted,
    TransactionEnded,
    UsageError,
    outcome_unknown,
)
from broker.result import Result
from broker.wire import Session
from broker.wire.session import Reply, Status

ISOLATION_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


Pause = Callable[[int, Deadline], bool]
"""Wait before what did not run is sent again, for the nth time; False where no time is left."""


class Lender(Protocol):
    """Where a transaction gets its session and its time from."""

    def checkout(self, deadline: Deadline) -> Session:
        """Return a session that is idle and alive."""

    def give_back(self, session: Session) -> None:
        """Take it back: kept if it is clean, retired if not."""


class Transaction:
    """One transaction on one session, from its first statement to its end.

    Nothing is sent before the first statement, so one that runs none costs nothing.
    """

    def __init__(
        self,
        lender: Lender,
        deadline: Deadline,
        begin: bytes,
        comment: bytes,
        *,
        rides: bool,
        pause: Pause,
    ) -> None:
        self._lender = lender
        self._deadline = deadline
        self._begin = begin
        self._comment = comment
        self._rides = rides
        self._pause = pause
        self._session: Session | None = None  # from the first statement on
        self._ended = False
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "open" if self._session else "not begun"
        return f"<Transaction {state}>"

    def run(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement in the transaction, in one flight; BEGIN rides with the first."""
        statements.refuse_unnamed(unnamed)
        statement = statements.compile(sql)
        return self._send(statement, [statement.values(params)])

    def run_many(self, sql: str, rows: Iterable[Mapping[str, Any]], /) -> Result:
        """Run one statement for each row of parameters, all in one flight.

        Its `row_count` is the sum, and its rows are those of all of them in order. With no rows
        nothing is sent.
        """
        statement = statements.compile(sql)
        batch = [statement.values(row) for row in rows]
        if not batch:
            self._refuse_if_ended()
            return Result((), [], 0)
        return self._send(statement, batch)

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise TransactionEnded

    def _send(self, statement: statements.Statement, batch: list[list[object]]) -> Result:
        statements.refuse_unsafe(statement)
        if not self._guard.acquire(blocking=False):
            raise UsageError("the transaction is in use by another thread: give each its own")
        try:
            reply = self._fly(statement.text + self._comment, batch)
        finally:
            self._guard.release()
        return Result(reply.columns, reply.rows, reply.row_count)

    def _fly(self, text: bytes, batch: list[list[object]]) -> Reply:
        """Send it; the first flight again, on another session, where it surely did not run."""
        for attempt in itertools.count():
            session = self._begun()
            begin = self._begin if session.status is Status.IDLE else None
            try:
                return session.execute(text, batch, self._deadline, begin=begin, rides=self._rides)
            except ConnectionLost as lost:
                if begin is None or lost.may_have_run or not self._pause(attempt, self._deadline):
                    raise
                self._session = None
                self._lender.give_back(session)
        raise AssertionError("unreachable")

    def _begun(self) -> Session:
        """Return the transaction's session, checked out now if it has none yet."""
        self._refuse_if_ended()
        if self._session is None:
            session = self._session = self._lender.checkout(self._deadline)
            if self._ended:  # by another thread, while this one waited for the session
                self._session = None
                self._lender.give_back(session)
                raise TransactionEnded
        self._refuse_if_lost(self._session)
        return self._session

    @staticmethod
    def _refuse_if_lost(session: Session) -> None:
        if not session.whole:
            raise ConnectionLost("an earlier statement of the transaction lost its session")

    def commit(self) -> None:
        """Commit what was sent. Called by the `with` block's end.

        Raises OutcomeUnknown if the answer is lost, TransactionAborted if a statement's failure
        was swallowed inside the transaction: nothing is committed then.
        """
        if not self._guard.acquire(blocking=False):
            self._break_off()
            raise UsageError("the transaction was in use by another thread when its block ended")
        session = self._session
        try:
            if session is not None:
                self._refuse_if_lost(session)
                if session.status is Status.FAILED:
                    roll_back(session, self._deadline)
                    raise TransactionAborted(sqlstate="25P02")
                if session.status is Status.TRANSACTION:
                    self._commit(session)
        finally:
            self._end()
            self._guard.release()

    def _commit(self, session: Session) -> None:
        try:
            reply = session.execute(b"commit" + self._comment, [()], self._deadline, rides=False)
        except Exception as error:
            if session.whole or (isinstance(error, ConnectionLost) and not error.may_have_run):
                raise  # COMMIT was not sent, or was answered
            raise outcome_unknown("COMMIT", error) from error
        if reply.tag != b"COMMIT":
            raise TransactionAborted(sqlstate="25P02")

    def rollback(self) -> None:
        """Roll back. Never raises: a session that cannot be rolled back is retired."""
        if not self._guard.acquire(blocking=False):
            self._break_off()
            return
        try:
            if self._session is not None:
                roll_back(self._session, self._deadline)
        finally:
            self._end()
            self._guard.release()

    def _break_off(self) -> None:
        """End it while another thread is in the middle of it: the server then rolls back."""
        if self._session is not None:
            self._session.close()
        self._end()

    def _end(self) -> None:
        self._ended = True
        session, self._session = self._session, None
        if session is not None:
            self._lender.give_back(session)


def roll_back(session: Session, deadline: Deadline) -> None:
    """Roll back what is open in the session, if that is still possible.

    Never raises: a session that cannot be rolled back is not clean, and retired when it is
    given back.
    """
    with suppress(BrokerError):
        if session.whole and session.status is not Status.IDLE:
            session.execute(b"rollback", [()], deadline, rides=False)


def begin_sql(*, read_only: bool, isolation: str | None) -> bytes:
    """Return the BEGIN that asks for these; raises UsageError for a level there is not."""
    sql = "begin"
    if isolation is not None:
        level = " ".join(isolation.lower().replace("_", " ").split())
        if level not in ISOLATION_LEVELS:
            raise UsageError(
                f"isolation={isolation!r}: one of {', '.join(map(repr, ISOLATION_LEVELS))}"
            )
        sql += f" isolation level {level}"
    if read_only:
        sql += " read only"
    return sql.encode()
