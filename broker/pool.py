"""This environment's sessions: checkout, return, retire.

State changes under the lock and I/O outside of it: a session that somebody looks at, opens or
closes belongs to that thread alone, and its slot is counted all the while.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable

from broker.deadline import Clock, Deadline
from broker.errors import BrokerClosed, CheckoutTimeout, TransactionEnded
from broker.reuse import Action, Policy, Reason, judge, lifetime_s
from broker.stats import Recorder, Stats
from broker.wire import Session

PROBE_BOUND_S = 1.0  # for a sign of life; a new session would have come by then

Place = tuple[str, int]
"""A place in the user's code: the file and the line."""


class Pool:
    """At most `max_sessions` sessions, used last in first out so that the rest can age."""

    def __init__(
        self,
        open_session: Callable[[Deadline], Session],
        cancel: Callable[[Session], None],
        max_sessions: int,
        policy: Policy,
        recorder: Recorder,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._open_session = open_session
        self._cancel = cancel
        self._max_sessions = max_sessions
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._rng = rng
        self._forget_all()

    def _forget_all(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[Session] = []
        self._out: dict[Session, Place] = {}
        self._taken = 0  # slots: sessions idle, out, and being opened
        self._lives_s: dict[Session, float] = {}
        self._doomed: set[Session] = set()  # out, and to be retired when they come back
        self._line: list[object] = []  # places of the threads in _wait, the first to go ahead
        self._closed = False

    def checkout(self, deadline: Deadline) -> Session:
        """Return a session that is idle and alive, opening one where there is none.

        Raises CheckoutTimeout when all were in use until the deadline, a ConnectError when none
        could be opened, BrokerClosed after close(), TransactionEnded when the invocation that
        asked for it has ended meanwhile.
        """
        while not deadline.turn_is_over:
            session = self._take(deadline)
            if session is None:
                session = self._open(deadline)
            elif not self._usable(session, deadline):
                continue
            else:
                self._recorder.count("reused")
            with self._changed:
                wanted = not self._closed and not deadline.turn_is_over
                if wanted:
                    self._out[session] = _caller()
            if wanted:
                return session
            self.retire(session, Reason.CLOSED if self._closed else Reason.LEAKED)
            if self._closed:
                raise BrokerClosed
        raise TransactionEnded("the invocation ended before its thread got a session")

    def _take(self, deadline: Deadline) -> Session | None:
        """Return an idle session, or None for the right to open one; wait until there is either."""
        with self._changed:
            if self._line or not self._free():
                self._wait(deadline)
            if self._closed:
                raise BrokerClosed
            if self._idle:
                return self._idle.pop()
            self._taken += 1
            return None

    def _free(self) -> bool:
        return bool(self._idle) or self._taken < self._max_sessions or self._closed

    def _wait(self, deadline: Deadline) -> None:
        """Stand in line: who gives a session back and wants it again comes after those."""
        started_s = self._clock.monotonic()
        place = object()
        self._line.append(place)
        try:
            free = self._changed.wait_for(
                lambda: self._free() and (self._closed or self._line[0] is place),
                min(deadline.remaining_s(), threading.TIMEOUT_MAX),
            )
        finally:
            self._line.remove(place)
            self._changed.notify_all()  # the next may be free to go as well
        waited_s = self._clock.monotonic() - started_s
        self._recorder.waited(waited_s * 1000)
        if not free:
            places = sorted({f"{file}:{line}" for file, line in self._out.values()})
            raise CheckoutTimeout(
                f"waited {waited_s:.1f} s for one of {self._max_sessions} session(s), checked out "
                f"at {', '.join(places) or 'no place known'}. {CheckoutTimeout().args[0]}",
                phase="waiting",
                budget_s=deadline.budget_s(),
                took_s=deadline.took_s(),
            )

    def _open(self, deadline: Deadline) -> Session:
        try:
            session = self._open_session(deadline)
        except BaseException:
            self._give_up_slot()
            raise
        with self._changed:
            self._lives_s[session] = lifetime_s(self._policy, self._rng)
        return session

    def _usable(self, session: Session, deadline: Deadline) -> bool:
        """Judge an idle session that nobody else has; retire it where it is of no more use."""
        if not session.clean:
            self.retire(session, Reason.INTERRUPTED)
            return False
        now = self._clock.now()
        age_s, life_s = now.since(session.opened_at), self._lives_s[session]
        verdict = judge(now, session.last_used, life_s, age_s, self._policy)
        reason = verdict.reason
        if verdict.action is Action.LOOK:
            if self._alive(session):
                return self._covered(session, deadline)
            reason = Reason.ENDED_BY_SERVER
        elif verdict.action is Action.PROBE:
            if self._alive(session) and session.probe(deadline.within(PROBE_BOUND_S)):
                return self._covered(session, deadline)
            reason = Reason.ENDED_BY_SERVER if session.lost else Reason.UNANSWERED
        elif verdict.action is Action.USE:
            return self._covered(session, deadline)
        self.retire(session, reason)
        return False

    def _covered(self, session: Session, deadline: Deadline) -> bool:
        """Keep the session's lease, if it has one; retire it where the lease is lost."""
        if session.lease is None:
            return True
        try:
            if session.lease.keep(deadline):
                return True
        except BaseException:
            self.retire(session, Reason.LEASE_LOST)
            raise
        self.retire(session, Reason.LEASE_LOST)
        return False

    def _alive(self, session: Session) -> bool:
        try:
            return session.look().alive
        except BaseException:
            self.retire(session, Reason.INTERRUPTED)
            raise

    def give_back(self, session: Session) -> None:
        """Take a session back: kept if it is clean, retired if not."""
        if not session.clean:
            if session.gave_up:
                self._cancel(session)
            swept = session in self._doomed  # with the first that its server refused
            self.retire(session, _why_unclean(session))
            if (session.demoted and not swept) or session.lost:
                self._sweep(demoted=session.demoted)
            return
        if session in self._doomed:
            self.retire(session, Reason.READ_ONLY)
            return
        session.last_used = self._clock.now()
        with self._changed:
            if self._out.pop(session, None) is None:  # returned or retired before
                return
        self._rest(session)

    def _rest(self, session: Session) -> None:
        """Let the session, which is in nobody's hands, be idle; or end it where all is closed."""
        with self._changed:
            if not self._closed:
                self._idle.append(session)
                if self._line:
                    self._changed.notify_all()
                return
        self.retire(session, Reason.CLOSED)

    def retire(self, session: Session, reason: Reason) -> None:
        """End a session, out or idle, and free its slot. The second time does nothing."""
        with self._changed:
            if self._lives_s.pop(session, None) is None:
                return
            self._out.pop(session, None)
            self._doomed.discard(session)
            if session in self._idle:
                self._idle.remove(session)
        session.end_and_give_back()
        self._recorder.replaced(reason)
        self._give_up_slot()

    def _sweep(self, *, demoted: bool) -> None:
        """Retire with a session what went the same way: those that the server has ended too, or
        all that are there where it is the writer no longer.
        """
        with self._changed:
            idle = list(self._idle)
            if demoted:
                self._doomed.update(self._out)
        for session in idle:
            with self._changed:
                if session not in self._idle:
                    continue
                self._idle.remove(session)
            if demoted or not self._alive(session):
                self.retire(session, Reason.READ_ONLY if demoted else Reason.ENDED_BY_SERVER)
            else:
                self._rest(session)

    def _give_up_slot(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def outstanding(self) -> dict[Session, Place]:
        """Return the sessions that are checked out, and where each was."""
        with self._changed:
            return dict(self._out)

    def stats(self) -> Stats:
        """Return the counts, and the sessions there are now."""
        with self._changed:
            taken, idle = self._taken, len(self._idle)
        return self._recorder.stats(sessions_open=taken, sessions_idle=idle)

    def close(self) -> None:
        """End every idle session now, and those that are out when they come back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.retire_idle(Reason.CLOSED)

    def retire_idle(self, reason: Reason) -> None:
        """End every idle session."""
        with self._changed:
            idle, self._idle = self._idle, []
        for session in idle:
            self.retire(session, reason)

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's sessions, and begin anew.

        The parent's lock may have been held at that moment, by a thread that is not here.
        """
        sessions, closed = list(self._lives_s), self._closed
        self._forget_all()
        self._closed = closed
        for session in sessions:
            session.abandon()


def _why_unclean(session: Session) -> Reason:
    if session.demoted:
        return Reason.READ_ONLY
    return Reason.ENDED_BY_SERVER if session.lost else Reason.INTERRUPTED


_NOT_THE_USERS = (__name__.partition(".")[0], "contextlib", "sqlalchemy", "alembic")


def _caller() -> Place:
    """Return the nearest place in the user's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _NOT_THE_USERS:
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
