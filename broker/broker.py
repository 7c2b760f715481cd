"""Broker: what a handler sees."""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from broker import again, bound, event_loop, lifecycle, statements, unsent
from broker.credentials import Credentials
from broker.deadline import SYSTEM_CLOCK, Clock, Deadline
from broker.demotion import examine, runs_again
from broker.errors import (
    BrokerError,
    ConnectionLost,
    NestedTransaction,
    ResultTooLarge,
    UsageError,
    WriteRefused,
    outcome_unknown,
)
from broker.exclusive import ExclusiveSession
from broker.guard import Guard
from broker.handler import Leak, decorate
from broker.invocation import Invocation
from broker.opening import Opener
from broker.outcome import Lender
from broker.pool import Pool
from broker.result import Result
from broker.reuse import Policy, Reason
from broker.settings import Flavour, Settings
from broker.stats import Recorder, Stats
from broker.transaction import Means, Transaction, begin_sql, roll_back
from broker.wire.session import USUAL, Manner, Reply, Status

if TYPE_CHECKING:
    from broker.cap.cap import Cap

S = TypeVar("S")
T = TypeVar("T")
LEAK_ROLLBACK_S = 0.2  # below the default margin, so that the answer is still in time
READ_ONLY = begin_sql(read_only=True, isolation=None)


class Broker:
    """Sessions for this environment: reused across invocations, bounded by the deadline.

    Create it once, at module scope; that does no I/O. Thread-safe, and a forked child gets
    sessions of its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()  # noqa: S311  jitter, not cryptography
        statements.warm_up()
        self.settings = settings
        self.recorder = Recorder()
        self._clock = clock
        self._rng = rng
        self._rides = not settings.flavour.pins_on_settings
        self._guard = Guard(settings.flavour, settings.guard)
        self._invocation: Invocation | None = None
        self._served = 0  # invocations; what an earlier one left open is not this one's
        self._mine = _OfThread()
        self._event_loop = event_loop.Watch()
        self._cap = self._make_cap() if settings.cap else None
        self._credentials = Credentials(settings, clock)
        opener = Opener(settings, self._credentials, self.recorder, clock, rng, self._cap)
        policy = Policy(
            settings.fresh_s, settings.probe_s, settings.idle_timeout_s, settings.lifetime_s
        )
        self._pool = Pool(
            opener.open, opener.cancel, settings.max_sessions, policy, self.recorder, clock, rng
        )
        self._means = Means(self._pool, self._guard, self._rides, self.recorder.count, clock, rng)
        if hasattr(os, "register_at_fork"):
            _begin_anew_after_fork(weakref.ref(self))

    def _make_cap(self) -> Cap:
        from broker.cap.cap import Cap  # late: most brokers have none
        from broker.cap.dynamodb import DynamoDb
        from broker.cap.lease import Terms
        from broker.cap.table import LeaseTable

        settings = self.settings
        terms = Terms(settings.cap_name, settings.cap or 0, settings.cap_lease_s)
        return Cap(
            terms,
            settings.cap_when_unreachable,
            LeaseTable(DynamoDb.from_environ(), settings.cap_table or "", terms),
            self.recorder.count,
            self._clock,
            self._rng,
            role=settings.user or "the_secrets_user",
        )

    @classmethod
    def from_env(cls) -> Broker:
        """Return a broker with the settings of the environment's BROKER_ variables.

        Raises ConfigurationError; connects to nothing. In Lambda it closes its sessions before a
        snapshot (SnapStart) and at SIGTERM.
        """
        made = cls(Settings.from_env())
        lifecycle.watch(made, os.environ)
        return made

    def __repr__(self) -> str:
        settings = self.settings
        where = f"{settings.host}:{settings.port}" if settings.host else "where the secret says"
        who = f"{settings.database or '…'} as {settings.user or '…'}"
        return f"<Broker {where}/{who}, {settings.flavour.value}>"

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement and commit it: one flight. Parameters are named, as in :name.

        Raises StatementError if the server refuses it, OutcomeUnknown if the answer is lost
        after it was sent, and DeadlineExceeded, ConnectError or UsageError as they say.
        """
        reply = self.run_alone(self._pool, *self._ready("db.run()", sql, unnamed, params))
        return Result(reply.columns, reply.rows, reply.row_count)

    def read(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement that the server lets change no table: one flight, and never unknown.

        BEGIN READ ONLY and COMMIT ride with it, so it is sent again, once, where its answer is
        lost. Raises WriteRefused (25006) if it, or a function that it calls, would write. What a
        read-only transaction may do all the same, such as NOTIFY, may then happen twice.
        """
        reply = self.read_alone(self._means, *self._ready("db.read()", sql, unnamed, params))
        return Result(reply.columns, reply.rows, reply.row_count)

    def _ready(
        self, call: str, sql: str, unnamed: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[statements.Statement, list[list[object]]]:
        """Return the statement and its batch, if it may be sent by itself."""
        statements.refuse_unnamed(unnamed)
        statement = statements.compile(sql)
        batch = [statement.values(params)]
        self._guard.check(statement)
        self._refuse_within_transaction(call, "the open one, as in tx.run()")
        return statement, batch

    def _attempt(
        self,
        lender: Lender,
        statement: statements.Statement,
        batch: Sequence[Sequence[object]],
        deadline: Deadline,
        manner: Manner,
    ) -> Reply:
        """Run it on one session; ConnectionLost says that it surely did not run."""
        text = statement.text + self._comment()
        rides = self._rides and statement.kind is not statements.Kind.ALONE
        session = lender.checkout(deadline)
        try:
            return session.execute(text, batch, deadline, rides=rides, manner=manner)
        except WriteRefused:
            examine(session, deadline)
            raise
        except Exception as error:
            not_sent = isinstance(error, ConnectionLost) and not error.may_have_run
            harmless = statement.reads and isinstance(error, ResultTooLarge)
            if session.whole or not_sent or harmless:  # whole: answered by the server
                raise
            self.recorder.count("outcomes_unknown")
            raise outcome_unknown("a statement", error) from error
        finally:
            lender.give_back(session)

    @contextmanager
    def transaction(
        self, *, read_only: bool = False, isolation: str | None = None
    ) -> Iterator[Transaction]:
        """Run what is in the `with` block as one transaction.

        It commits on leaving and rolls back on an exception. n statements take n + 1 flights:
        BEGIN rides with the first.
        """
        with self._transaction(self._deadline(), read_only, isolation) as tx:
            yield tx

    @contextmanager
    def _transaction(
        self, deadline: Deadline, read_only: bool, isolation: str | None
    ) -> Iterator[Transaction]:
        begin = begin_sql(read_only=read_only, isolation=isolation)
        self._refuse_within_transaction("db.transaction()", "the open one")
        tx = Transaction(self._means, deadline, begin, self._comment(), read_only=read_only)
        with self._opened(tx):
            try:
                yield tx
            except BaseException:
                tx.rollback()
                raise
            tx.commit()

    @overload
    def retry(
        self,
        fn: Callable[[Transaction], T],
        *,
        attempts: int = ...,
        read_only: bool = ...,
        isolation: str | None = ...,
    ) -> T: ...

    @overload
    def retry(
        self,
        fn: Callable[[S], T],
        *,
        attempts: int = ...,
        begin: Callable[[], AbstractContextManager[S]],
    ) -> T: ...

    def retry(
        self,
        fn: Callable[[Any], T],
        *,
        attempts: int = again.ATTEMPTS,
        read_only: bool = False,
        isolation: str | None = None,
        begin: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> T:
        """Return fn(tx), run in a transaction, and again in a new one after a retryable error.

        Retryable are a serialization failure (40001), a deadlock (40P01), a session lost before
        COMMIT, and a write that a read-only server refused (25006), which is tried for longer than
        the others: in each nothing was kept. `fn` must therefore have no effects outside of the
        transaction. Raises the last error after `attempts`, or at the deadline.

        `begin` is for the other faces: what it returns is entered for each attempt, gives `fn` its
        argument, and commits on leaving, as `sessionmaker(engine).begin` does. An attempt that has
        committed something is not run again.
        """
        if attempts < 1:
            raise UsageError(f"attempts={attempts}: at least one is needed")
        if begin is not None and (read_only or isolation is not None):
            raise UsageError("read_only=… and isolation=… are set where `begin` comes from")
        deadline = self._deadline()

        def once(attempt: again.Attempt) -> T:
            if begin is None:
                with self._transaction(deadline, read_only, isolation) as tx:
                    return fn(tx)
            self._refuse_within_transaction("db.retry()", "the open one")
            with self._opened(attempt), begin() as lent:
                return fn(lent)

        return self._run_again(once, attempts, deadline, read_only=read_only)

    def _run_again(
        self,
        once: Callable[[again.Attempt], T],
        attempts: int,
        deadline: Deadline,
        *,
        read_only: bool,
    ) -> T:
        served = self._served

        def goes_on(error: BrokerError, attempt: int, since_s: float) -> bool:
            refused = read_only and isinstance(error, WriteRefused)  # as it was asked to be
            return (
                not refused
                and served == self._served  # else its invocation has ended
                and runs_again(error, attempt, attempts, since_s)
            )

        return again.run(once, goes_on, deadline, self._clock, self._rng, self.recorder.count)

    @contextmanager
    def _opened(self, what: Transaction | ExclusiveSession | again.Attempt) -> Iterator[None]:
        """Let it be what this thread has open, unless it leaks and is closed meanwhile."""
        mine = self._mine.open = (self._served, what)
        try:
            yield
        finally:
            if self._mine.open is mine:
                self._mine.open = None

    @contextmanager
    def session(self) -> Iterator[ExclusiveSession]:
        """Lend a session out whole, with the face of pg8000.native.Connection.

        For COPY, cursors and prepared statements. Afterwards what it left open is rolled back,
        and the session is closed: nobody inherits what was done with it. Behind a pooler, what
        it SET may stay with the pooler's server connection: use `set local` in a transaction.
        Its statements are bounded by the deadline; `direct`, the server knows of it as well.
        """
        self._refuse_within_transaction("db.session()", "the open one")
        deadline = self._deadline()
        session = self._pool.checkout(deadline)
        lent = ExclusiveSession(session, self._guard, deadline)
        try:
            with self._opened(lent):
                if self.settings.flavour is Flavour.DIRECT:
                    limit_ms = bound.riding_ms(deadline.remaining_s(), None)
                    session.execute(bound.standing_sql(limit_ms), [()], deadline, rides=False)
                yield lent
        finally:
            lent.end()
            roll_back(session, deadline)
            if session.gave_up:
                self._pool.give_back(session)  # which cancels what still runs
            self._pool.retire(session, Reason.EXCLUSIVE)

    def handler(self, function: Callable[..., T]) -> Callable[..., T]:
        """Decorate a Lambda handler: its deadline, its name on its statements, leaks, metrics."""
        return decorate(self, function)

    def stats(self) -> Stats:
        """Return what was counted since the broker was created, and the sessions it has now."""
        return self._pool.stats()

    def close(self) -> None:
        """End the sessions; whatever is sent afterwards raises BrokerClosed."""
        self._pool.close()

    # What the faces above have it do: statements that the guard let through, on a lender's session.

    @property
    def means(self) -> Means:
        """What its transactions work with."""
        return self._means

    @property
    def served(self) -> int:
        """How many invocations have ended; what was begun in an earlier one is over."""
        return self._served

    def run_alone(
        self,
        lender: Lender,
        statement: statements.Statement,
        batch: Sequence[Sequence[object]],
        manner: Manner = USUAL,
    ) -> Reply:
        """Run a statement and commit it, once for each list of parameters, in one flight."""
        if self._attempt_of_thread():
            raise UsageError(
                f"{statement.head} would be committed by itself, inside db.retry(…, begin=…) that "
                "may run it again: no autocommit there"
            )
        deadline = self._deadline()

        def attempt() -> Reply:
            return self._attempt(lender, statement, batch, deadline, manner)

        # A procedure may have committed a part before it was refused, a stream may have been read.
        whole = statement.kind is statements.Kind.ORDINARY and manner.single
        return unsent.send(attempt, attempt, deadline, self._clock, self._rng, refused_too=whole)

    def read_alone(
        self,
        means: Means,
        statement: statements.Statement,
        batch: Sequence[Sequence[object]],
        manner: Manner = USUAL,
    ) -> Reply:
        """Run it in a read-only transaction of its own, in one flight; again if that is lost."""
        outer = self._attempt_of_thread()
        deadline = outer.deadline if outer else self._deadline()
        attempts = 1 if outer or manner.stream is not None else again.READ_ATTEMPTS

        def once(_: again.Attempt) -> Reply:
            tx = Transaction(means, deadline, READ_ONLY, self._comment(), read_only=True)
            try:
                reply = tx.send(statement, batch, manner, last=True)
            except BaseException:
                tx.rollback()
                raise
            tx.commit()
            return reply

        return self._run_again(once, attempts, deadline, read_only=True)

    def _attempt_of_thread(self) -> again.Attempt | None:
        what = self._open_in_thread()
        return what if isinstance(what, again.Attempt) else None

    def begin_alone(self, means: Means, begin: bytes, *, read_only: bool) -> Transaction:
        """Return a transaction that no `with` block ends: its caller does."""
        attempt = self._attempt_of_thread()
        deadline = attempt.deadline if attempt else self._deadline()
        tx = Transaction(means, deadline, begin, self._comment(), read_only=read_only)
        if attempt:
            attempt.begun.append(tx)
        return tx

    # What the handler's decorator tells the broker.

    @property
    def serving(self) -> bool:
        """Whether an invocation is under way."""
        return self._invocation is not None

    def begin_invocation(self, context: Any) -> None:
        """Let everything from here on be bounded by this invocation and named after it."""
        self._invocation = Invocation.of(
            context, self.settings.margin_s, self.settings.timeout_s, self._clock
        )

    def end_invocation(self) -> list[Leak]:
        """Close what the invocation left open, so that nothing is frozen with it; return it."""
        self._served += 1  # first, so that nobody begins anew what is closed here
        leaks = []
        for session, place in self._pool.end_invocation().items():
            leaks.append(Leak(place, in_transaction=session.status is not Status.IDLE))
            if not session.in_flight:  # spares a pooler the loss of the server connection
                roll_back(session, Deadline.after(LEAK_ROLLBACK_S, self._clock))
            self._pool.retire(session, Reason.LEAKED)  # whoever leaked it may still hold it
            self.recorder.count("leaks")
        self._invocation = None
        return leaks

    def _deadline(self) -> Deadline:
        self._event_loop.look(self)
        if self._invocation is not None:
            return self._invocation.deadline
        return Deadline.after(self.settings.timeout_s, self._clock)

    def _comment(self) -> bytes:
        return b"" if self._invocation is None else self._invocation.comment

    def _open_in_thread(self) -> Transaction | ExclusiveSession | again.Attempt | None:
        """Return what this thread has open; what an earlier invocation opened is over."""
        mine = self._mine.open
        return mine[1] if mine is not None and mine[0] == self._served else None

    def _refuse_within_transaction(self, call: str, instead: str) -> None:
        if self._open_in_thread() is not None:
            raise NestedTransaction(
                f"{call} inside an open transaction or session of the same thread would not be "
                f"part of it: use {instead}"
            )

    # What Lambda does to the environment, as broker.lifecycle tells it.

    def before_snapshot(self) -> None:
        """End the sessions: a snapshot's copies must not share them."""
        self._pool.retire_idle(Reason.SNAPSHOT)

    def after_restore(self) -> None:
        """Draw random numbers of one's own, not those of the snapshot's other copies, and let
        the credentials be fetched anew.
        """
        self._rng.seed()
        self._credentials.forget()

    def _after_fork(self) -> None:
        self.recorder.begin_anew()
        self._rng.seed()
        self._mine = _OfThread()
        self._credentials.after_fork()
        if self._cap is not None:
            self._cap.after_fork()
        self._pool.after_fork()


class _OfThread(threading.local):
    """What each thread has open, and the number of the invocation that opened it."""

    open: tuple[int, Transaction | ExclusiveSession | again.Attempt] | None = None


def _begin_anew_after_fork(reference: weakref.ref[Broker]) -> None:
    def in_child() -> None:
        broker = reference()
        if broker is not None:
            broker._after_fork()

    os.register_at_fork(after_in_child=in_child)
