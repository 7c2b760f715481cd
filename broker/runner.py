"""What every face has run: a statement by itself, a read, a transaction, and these again.

The faces see to the guard before, and to what they make of a reply afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from broker import again, unsent
from broker.again import Attempt
from broker.current import Current
from broker.deadline import Deadline
from broker.demotion import examine, runs_again
from broker.errors import (
    BrokerError,
    ConnectionLost,
    ResultTooLarge,
    UsageError,
    WriteRefused,
    outcome_unknown,
)
from broker.sql import Kind, Statement
from broker.transaction import Means, Transaction, begin_sql
from broker.wire import Manner, Reply

T = TypeVar("T")
BEGIN = begin_sql(read_only=False, isolation=None)
READ_ONLY = begin_sql(read_only=True, isolation=None)


@contextmanager
def ending(tx: Transaction) -> Iterator[None]:
    """Commit the transaction on leaving, or roll it back on an exception."""
    try:
        yield
    except BaseException:
        tx.rollback()
        raise
    tx.commit()


class Runner:
    """Runs statements and transactions within what is current, again where that is safe."""

    def __init__(self, means: Means, current: Current) -> None:
        self.means = means
        self.current = current

    def with_manner(self, manner: Manner) -> Runner:
        """Return one whose own statements, COMMIT among them, are run in this manner."""
        return Runner(replace(self.means, manner=manner), self.current)

    def run(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        manner: Manner | None = None,
    ) -> Reply:
        """Run a statement and commit it, once for each list of parameters, in one round trip."""
        manner = manner or self.means.manner
        if self.current.attempt:
            raise UsageError(
                f"{statement.head} would be committed by itself, inside db.retry(…, begin=…) that "
                "may run it again: no autocommit there"
            )
        deadline = self.current.deadline()
        if statement.copies_writes:  # kept only if the stream takes all that is sent to it
            tx = Transaction(self.means, deadline, BEGIN, self.current.comment)
            with ending(tx):
                return tx.send(statement, batch, manner)

        def attempt() -> Reply:
            return self._attempt(statement, batch, deadline, manner)

        # A procedure may have committed a part before it was refused, a stream may have been read.
        whole = statement.kind is Kind.ORDINARY and manner.single
        means = self.means
        return unsent.send(attempt, attempt, deadline, means.clock, means.rng, refused_too=whole)

    def _attempt(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        deadline: Deadline,
        manner: Manner,
    ) -> Reply:
        """Run it on one session; ConnectionLost says that it surely did not run."""
        means = self.means
        text = statement.text + self.current.comment
        rides = means.rides and statement.kind is not Kind.ALONE
        session = means.lender.checkout(deadline)
        try:
            return session.execute(
                text, batch, deadline, rides=rides, manner=manner, labels=statement.labels
            )
        except WriteRefused:
            examine(session, deadline)
            raise
        except BrokerError as error:  # any other is the caller's own: a stream's
            not_sent = isinstance(error, ConnectionLost) and not error.may_have_run
            harmless = statement.reads and isinstance(error, ResultTooLarge)
            if session.whole or not_sent or harmless:  # whole: answered by the server
                raise
            means.count("outcomes_unknown")
            raise outcome_unknown("a statement", error) from error
        finally:
            means.lender.give_back(session)

    def read(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        manner: Manner | None = None,
    ) -> Reply:
        """Run it in a read-only transaction of its own, one round trip; again if that is lost."""
        manner = manner or self.means.manner
        outer = self.current.attempt
        deadline = outer.deadline if outer else self.current.deadline()
        attempts = 1 if outer or manner.stream is not None else again.READ_ATTEMPTS

        def once(_: Attempt) -> Reply:
            tx = Transaction(self.means, deadline, READ_ONLY, self.current.comment, read_only=True)
            with ending(tx):
                return tx.send(statement, batch, manner, last=True)

        return self.again(once, attempts, deadline, read_only=True)

    @contextmanager
    def transaction(
        self, deadline: Deadline, *, read_only: bool, isolation: str | None
    ) -> Iterator[Transaction]:
        """Run what is in the `with` block as one transaction of the broker's own face."""
        begin = begin_sql(read_only=read_only, isolation=isolation)
        self.current.refuse_beside("db.transaction()", "the open one")
        tx = Transaction(self.means, deadline, begin, self.current.comment, read_only=read_only)
        with self.current.opened(tx), ending(tx):
            yield tx

    def begin(self, begin: bytes, *, read_only: bool) -> Transaction:
        """Return a transaction that no `with` block ends: its caller does."""
        attempt = self.current.attempt
        deadline = attempt.deadline if attempt else self.current.deadline()
        tx = Transaction(self.means, deadline, begin, self.current.comment, read_only=read_only)
        if attempt:
            attempt.begun.append(tx)
        return tx

    def again(
        self,
        once: Callable[[Attempt], T],
        attempts: int,
        deadline: Deadline,
        *,
        read_only: bool,
    ) -> T:
        """Return what `once` returns, called again after a retryable error, `attempts` in all."""
        means = self.means

        def goes_on(error: BrokerError, attempt: int, since_s: float) -> bool:
            refused = read_only and isinstance(error, WriteRefused)  # as it was asked to be
            return (
                not refused
                and not deadline.turn_is_over
                and runs_again(error, attempt, attempts, since_s)
            )

        return again.run(once, goes_on, deadline, means.clock, means.rng, means.count)
