"""A transaction: BEGIN rides with the first statement, COMMIT is a flight of its own.

Where it failed decides what is safe. A first statement that was not sent, or that a read-only
server refused, is sent again on another session; what is lost before COMMIT was sent is rolled
back by the server, so `db.retry` may run the whole of it again; a COMMIT whose answer was lost is
looked up (broker.outcome), and what cannot be told is OutcomeUnknown.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from broker import unsent
from broker.deadline import Clock, Deadline
from broker.demotion import examine
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    TransactionAborted,
    TransactionEnded,
    UsageError,
    WriteRefused,
    outcome_unknown,
)
from broker.guard import Guard
from broker.outcome import TRACK, Lender, Outcome, TransactionId, look_up, unknown_after
from broker.result import Result
from broker.sql import Kind, Statement, compile, refuse_unnamed
from broker.wire import USUAL, Manner, Reply, Session, Status

COMMIT = b"commit"
AS_ASKED = "as asked for: db.read() and read_only=True let nothing be written, db.run() does"
ISOLATION_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


@dataclass(frozen=True, eq=False, repr=False)
class Means:
    """What all transactions of a broker work with."""

    lender: Lender
    guard: Guard
    rides: bool
    """Whether the deadline may ride with a statement."""
    count: Callable[[str], None]
    clock: Clock
    rng: random.Random
    manner: Manner = USUAL
    """How statements are run, unless their caller says otherwise."""


class Transaction:
    """One transaction on one session, from its first statement to its end.

    Nothing is sent before the first statement, so one that runs none costs nothing.
    """

    def __init__(
        self,
        means: Means,
        deadline: Deadline,
        begin: bytes,
        comment: bytes,
        *,
        read_only: bool = False,
    ) -> None:
        self._means = means
        self._deadline = deadline
        self._begin = begin
        self._comment = comment
        self._read_only = read_only
        self._id: TransactionId | None = None  # from the first write on
        self._session: Session | None = None  # from the first statement on
        self.committed = False
        """Whether the server kept it, for certain."""
        self._ended = False
        self._refused = False  # its first statement was, and it is rolled back already
        self._busy = threading.Lock()

    @property
    def outlived(self) -> bool:
        """Whether the invocation has ended in which it began."""
        return self._deadline.turn_is_over

    def __repr__(self) -> str:
        state = "ended" if self._ended else "open" if self._session else "not begun"
        return f"<Transaction {state}>"

    def run(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement in the transaction, in one flight; BEGIN rides with the first."""
        refuse_unnamed(unnamed)
        statement = compile(sql)
        return self._send(statement, [statement.values(params)])

    def run_many(self, sql: str, rows: Iterable[Mapping[str, Any]], /) -> Result:
        """Run one statement for each row of parameters, all in one flight.

        Its `row_count` is the sum, and its rows are those of all of them in order. With no rows
        nothing is sent.
        """
        statement = compile(sql)
        batch = [statement.values(row) for row in rows]
        if not batch:
            self._refuse_if_ended()
            return Result((), [], 0)
        return self._send(statement, batch)

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise TransactionEnded

    def _send(self, statement: Statement, batch: list[list[object]]) -> Result:
        self._means.guard.check(statement)
        reply = self.send(statement, batch, self._means.manner)
        return Result(reply.columns, reply.rows, reply.row_count)

    def send(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        manner: Manner = USUAL,
        *,
        last: bool = False,
    ) -> Reply:
        """Run a statement that the guard has let through; what the faces above call.

        With `last`, COMMIT rides with it where that is sure to have kept nothing.
        """
        if not self._busy.acquire(blocking=False):
            raise UsageError("the transaction is in use by another thread: give each its own")
        try:
            if statement.sets or manner.further:
                self._read_only = False  # SET may have made it a writer
            tracked = self._id is None and not statement.reads and not self._read_only
            alone = statement.kind is Kind.COPY  # nothing may follow it in its flight
            behind = TRACK if tracked else None
            if last and self._read_only:
                behind = COMMIT + self._comment
            try:
                reply = self._sent(statement, batch, None if alone else behind, manner)
            except WriteRefused as error:
                if self._read_only:
                    error.args = (f"{error.args[0]}, {AS_ASKED}",)
                raise
            if tracked and alone:
                told = self._begun().execute(TRACK, [()], self._deadline, rides=False)
                reply = reply._replace(afterwards=told.rows[0][0].encode())
            if reply.afterwards is not None:
                self._id = TransactionId.read(reply.afterwards)
        finally:
            self._busy.release()
        return reply

    def _sent(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        afterwards: bytes | None,
        manner: Manner,
    ) -> Reply:
        text = statement.text + self._comment
        begin = self._begin if self._begun().status is Status.IDLE else None

        def send() -> Reply:
            session = self._begun()
            # SET TRANSACTION must come before any query, and an aborted transaction accepts none.
            accepts = not statement.sets and session.status is not Status.FAILED
            return session.execute(
                text,
                batch,
                self._deadline,
                begin=begin,
                afterwards=afterwards,
                rides=self._means.rides and accepts,
                manner=manner,
                labels=statement.labels,
            )

        if begin is None:  # what came before is lost with the session
            return send()
        return self._sent_first(send, again=manner.stream is None and not self._read_only)

    def _sent_first(self, send: Callable[[], Reply], *, again: bool) -> Reply:
        """Send the first statement, and with `again` one that a server refused as read-only, too.

        Such a refusal rolled it all back: what follows in this transaction is refused.
        """
        deadline, means = self._deadline, self._means

        def attempt() -> Reply:
            self._refused = False
            try:
                return send()
            except WriteRefused:
                if again:
                    examine(self._begun(), deadline)
                    self._refused = True
                raise

        def attempt_elsewhere() -> Reply:
            self._let_go()
            return attempt()

        return unsent.send(
            attempt, attempt_elsewhere, deadline, means.clock, means.rng, refused_too=again
        )

    def _begun(self) -> Session:
        """Return the transaction's session, checked out now if it has none yet."""
        self._refuse_if_ended()
        if self._refused:
            raise TransactionAborted(sqlstate="25P02")
        if self._session is None:
            self._session = self._means.lender.checkout(self._deadline)
            if self._ended:  # by another thread, while this one waited for the session
                self._let_go()
                raise TransactionEnded
        self._refuse_if_lost(self._session)
        return self._session

    @staticmethod
    def _refuse_if_lost(session: Session) -> None:
        if not session.whole:
            raise ConnectionLost("an earlier statement of the transaction lost its session")

    def commit(self) -> None:
        """Commit what was sent. Called by the `with` block's end.

        An answer that is lost is looked up on the server. Raises OutcomeUnknown where that cannot
        tell, ConnectionLost where it was rolled back, TransactionAborted if a statement's failure
        was swallowed inside the transaction: nothing is committed then.
        """
        if not self._busy.acquire(blocking=False):
            self._break_off()
            raise UsageError("the transaction was in use by another thread when its block ended")
        hidden = None
        try:
            if self._session is not None:
                self._commit(self._session)
                self.committed = True
        except OutcomeUnknown as unknown:
            hidden = unknown
        finally:
            self._end()
            self._busy.release()
        if hidden is not None:
            self._settle(hidden)

    def _commit(self, session: Session) -> None:
        self._refuse_if_lost(session)
        if session.status is Status.FAILED or self._refused:
            roll_back(session, self._deadline)
            raise TransactionAborted(sqlstate="25P02")
        if session.status is Status.IDLE:
            return
        try:
            reply = session.execute(
                COMMIT + self._comment,
                [()],
                self._deadline,
                rides=False,
                manner=self._means.manner,
            )
        except Exception as error:
            if session.whole or (isinstance(error, ConnectionLost) and not error.may_have_run):
                raise  # COMMIT was not sent, or was answered
            raise outcome_unknown("COMMIT", error) from error
        if reply.tag != b"COMMIT":
            raise TransactionAborted(sqlstate="25P02")

    def _settle(self, hidden: OutcomeUnknown) -> None:
        """Find out what became of a COMMIT whose answer was lost; return if it happened."""
        if self._read_only:
            self._raise_nothing_kept(hidden)
        outcome = Outcome.FORGOTTEN
        if self._id is not None:
            means = self._means
            means.count("commits_looked_up")
            left = self._deadline.anew(self._deadline.remaining_s())  # its invocation's end or not
            outcome = look_up(means.lender, self._id, left, means.clock, means.rng)
        if outcome is Outcome.COMMITTED:
            self.committed = True
            return
        if outcome is Outcome.ABORTED:
            self._raise_nothing_kept(hidden)
        self._means.count("outcomes_unknown")
        unknown = unknown_after(outcome, hidden, self._deadline)
        if self._id is not None:
            unknown.transaction_id = self._id.xid
            unknown.add_note(f"pg_xact_status of transaction {self._id}: {outcome.value}")
        raise unknown

    @staticmethod
    def _raise_nothing_kept(hidden: OutcomeUnknown) -> NoReturn:
        if isinstance(hidden, DeadlineExceeded):
            raise DeadlineExceeded(
                phase=hidden.phase, budget_s=hidden.budget_s, took_s=hidden.took_s
            ) from hidden
        raise ConnectionLost(
            "the session ended at COMMIT, and the server kept nothing of the transaction",
            sqlstate=hidden.sqlstate,
        ) from hidden

    def rollback(self) -> None:
        """Roll back. Never raises: a session that cannot be rolled back is retired."""
        if not self._busy.acquire(blocking=False):
            self._break_off()
            return
        try:
            if self._session is not None:
                roll_back(self._session, self._deadline)
        finally:
            self._end()
            self._busy.release()

    def _break_off(self) -> None:
        """End it while another thread is in the middle of it: the server then rolls back."""
        if self._session is not None:
            self._session.close()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._let_go()

    def _let_go(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._means.lender.give_back(session)


def roll_back(session: Session, deadline: Deadline) -> None:
    """Roll back what is open in the session, if that is still possible.

    Never raises: a session that cannot be rolled back is not clean, and retired when it is
    given back.
    """
    with suppress(BrokerError):
        if session.refused is not None:
            examine(session, deadline)
        elif session.whole and session.status is not Status.IDLE:
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
