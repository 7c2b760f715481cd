"""Broker: what a handler sees."""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from broker import again, bound, lifecycle
from broker.credentials import Credentials
from broker.current import Current
from broker.deadline import SYSTEM_CLOCK, Clock, Deadline
from broker.errors import UsageError
from broker.exclusive import ExclusiveSession
from broker.guard import Guard
from broker.handler import Leak, decorate
from broker.opening import Opener
from broker.pool import Pool
from broker.result import Result
from broker.reuse import Policy, Reason
from broker.runner import Runner
from broker.settings import Flavour, Settings
from broker.sql import Statement, compile, refuse_unnamed, warm_up
from broker.stats import Recorder, Stats
from broker.transaction import Means, Transaction, roll_back
from broker.types import Converters
from broker.wire import USUAL, Manner, Status

if TYPE_CHECKING:
    from broker.cap import Cap

S = TypeVar("S")
T = TypeVar("T")
LEAK_ROLLBACK_S = 0.2  # below the default margin, so that the answer is still in time


class Broker:
    """Sessions for this environment: reused across invocations, bounded by the deadline.

    Create it once, at module scope; that does no I/O. Thread-safe, and a forked child gets
    sessions of its own. `converters` are the application's own ways to send and read values.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        converters: Converters | None = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()  # noqa: S311  jitter, not cryptography
        warm_up()
        self.settings = settings
        self.recorder = Recorder()
        self._clock = clock
        self._rng = rng
        self._guard = Guard(settings.flavour, settings.guard)
        self._current = Current(settings, clock)
        self._cap = self._make_cap() if settings.cap else None
        self._credentials = Credentials(settings, clock)
        opener = Opener(settings, self._credentials, self.recorder, clock, rng, self._cap)
        policy = Policy(
            settings.fresh_s, settings.probe_s, settings.idle_timeout_s, settings.lifetime_s
        )
        self._pool = Pool(
            opener.open, opener.cancel, settings.max_sessions, policy, self.recorder, clock, rng
        )
        rides = not settings.flavour.pins_on_settings
        manner = Manner(converters=converters) if converters else USUAL
        means = Means(self._pool, self._guard, rides, self.recorder.count, clock, rng, manner)
        self.runner = Runner(means, self._current)
        """What the other faces have run their statements."""
        if hasattr(os, "register_at_fork"):
            _begin_anew_after_fork(weakref.ref(self))

    def _make_cap(self) -> Cap:
        from broker.cap import Cap  # late for its weight: most brokers have none

        return Cap.of(self.settings, self.recorder.count, self._clock, self._rng)

    @classmethod
    def from_env(cls, *, converters: Converters | None = None) -> Broker:
        """Return a broker with the settings of the environment's BROKER_ variables.

        `converters` are the application's own ways to send and read values. Raises
        ConfigurationError; connects to nothing. In Lambda it closes its sessions before a snapshot
        (SnapStart) and at SIGTERM.
        """
        made = cls(Settings.from_env(), converters=converters)
        lifecycle.watch(made, os.environ)
        return made

    def __repr__(self) -> str:
        return f"<Broker {self.settings.destination}>"

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement and commit it: one flight. Parameters are named, as in :name.

        Raises StatementError if the server refuses it, OutcomeUnknown if the answer is lost
        after it was sent, and DeadlineExceeded, ConnectError or UsageError as they say.
        """
        statement, batch = self._ready("db.run()", sql, unnamed, params)
        reply = self.runner.run(statement, batch)
        return Result(reply.columns, reply.rows, reply.row_count)

    def read(self, sql: str, /, *unnamed: Any, **params: Any) -> Result:
        """Run one statement that the server lets change no table: one flight, and never unknown.

        BEGIN READ ONLY and COMMIT ride with it, so it is sent again, once, where its answer is
        lost. Raises WriteRefused (25006) if it, or a function that it calls, would write. What a
        read-only transaction may do all the same, such as NOTIFY, may then happen twice.
        """
        statement, batch = self._ready("db.read()", sql, unnamed, params)
        reply = self.runner.read(statement, batch)
        return Result(reply.columns, reply.rows, reply.row_count)

    def _ready(
        self, call: str, sql: str, unnamed: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Statement, list[list[object]]]:
        """Return the statement and its batch, if it may be sent by itself."""
        refuse_unnamed(unnamed)
        statement = compile(sql)
        batch = [statement.values(params)]
        self._guard.check(statement)
        self._current.refuse_beside(call, "the open one, as in tx.run()")
        return statement, batch

    @contextmanager
    def transaction(
        self, *, read_only: bool = False, isolation: str | None = None
    ) -> Iterator[Transaction]:
        """Run what is in the `with` block as one transaction.

        It commits on leaving and rolls back on an exception. n statements take n + 1 flights:
        BEGIN rides with the first.
        """
        deadline = self._current.deadline()
        with self.runner.transaction(deadline, read_only=read_only, isolation=isolation) as tx:
            yield tx

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
        runner, current = self.runner, self._current
        deadline = current.deadline()

        def once(attempt: again.Attempt) -> T:
            if begin is None:
                with runner.transaction(deadline, read_only=read_only, isolation=isolation) as tx:
                    return fn(tx)
            current.refuse_beside("db.retry()", "the open one")
            with current.opened(attempt), begin() as lent:
                return fn(lent)

        return runner.again(once, attempts, deadline, read_only=read_only)

    @contextmanager
    def session(self) -> Iterator[ExclusiveSession]:
        """Lend a session out whole, with the calls and results of pg8000.native.Connection.

        For COPY, cursors and prepared statements. Afterwards what it left open is rolled back,
        and the session is closed: nobody inherits what was done with it. Behind a pooler, what
        it SET may stay with the pooler's server connection: use `set local` in a transaction.
        Its statements are bounded by the deadline; `direct`, the server knows of it as well.
        """
        self._current.refuse_beside("db.session()", "the open one")
        deadline = self._current.deadline()
        session = self._pool.checkout(deadline)
        converters = self.runner.means.manner.converters
        lent = ExclusiveSession(session, self._guard, deadline, converters)
        try:
            with self._current.opened(lent):
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

    # What the handler's decorator tells the broker.

    @property
    def serving(self) -> bool:
        """Whether an invocation is under way."""
        return self._current.serving

    def begin_invocation(self, context: Any) -> None:
        """Let everything from here on be bounded by this invocation and named after it."""
        self._current.begin(context)

    def end_invocation(self) -> list[Leak]:
        """Close what the invocation left open, so that nothing is frozen with it; return it."""
        self._current.end()  # first, so that nobody begins anew what is closed here
        leaks = []
        for session, place in self._pool.outstanding().items():
            leaks.append(Leak(place, in_transaction=session.status is not Status.IDLE))
            if not session.in_flight:  # spares a pooler the loss of the server connection
                roll_back(session, Deadline.after(LEAK_ROLLBACK_S, self._clock))
            self._pool.retire(session, Reason.LEAKED)  # whoever leaked it may still hold it
            self.recorder.count("leaks")
        return leaks

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
        self._current.after_fork()
        self._credentials.after_fork()
        if self._cap is not None:
            self._cap.after_fork()
        self._pool.after_fork()


def _begin_anew_after_fork(reference: weakref.ref[Broker]) -> None:
    def in_child() -> None:
        broker = reference()
        if broker is not None:
            broker._after_fork()

    os.register_at_fork(after_in_child=in_child)
