"""Opening a session: attempts with full jitter, inside the deadline."""

from __future__ import annotations

import random
from ssl import SSLContext
from typing import TYPE_CHECKING

from broker.backoff import delay_s
from broker.credentials import Credentials
from broker.deadline import Clock, Deadline
from broker.errors import (
    AuthenticationFailed,
    ConnectError,
    DeadlineExceeded,
    ServerUnavailable,
    TooManyConnections,
)
from broker.login import Login
from broker.settings import Flavour, Settings
from broker.stats import Recorder
from broker.wire import Session, cancel, connect, tls_context

RENEWALS = 2  # of a login: to the current one, and on to one that is being rotated in
CANCEL_BOUND_S = 0.2  # it comes out of the margin for the answer

if TYPE_CHECKING:
    from broker.cap import Cap, Lease


class Opener:
    """Opens sessions as the settings say, and does not give up while there is time.

    A full server (53300 and its relatives), one that is starting and one that cannot be reached
    are tried again, each time after a wait drawn anew so that a herd spreads out. What no
    waiting mends, such as a wrong password, is raised at once.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        recorder: Recorder,
        clock: Clock,
        rng: random.Random,
        cap: Cap | None = None,
    ) -> None:
        self._cap = cap
        self._settings = self._where = settings
        self._credentials = credentials
        self._recorder = recorder
        self._clock = clock
        self._rng = rng
        self._tls: SSLContext | None = None
        self._tls_is_known = False

    def open(self, deadline: Deadline) -> Session:
        """Return a new session.

        Raises DeadlineExceeded where no time is left to try, and at the deadline the last
        ConnectError that the server itself gave, or else the last.
        """
        if deadline.passed():
            raise DeadlineExceeded.at("connecting", deadline.budget_s(), deadline.took_s())
        started_s = self._clock.monotonic()
        attempt, told = 0, None
        while True:
            try:
                session = self._attempt(attempt, deadline)
            except ConnectError as error:
                if isinstance(error, TooManyConnections):
                    self._recorder.count("too_many_connections")
                told = error if error.sqlstate or told is None else told
                wait_s = delay_s(attempt, self._rng)
                attempt += 1
                if not error.retryable:
                    raise
                if wait_s >= deadline.remaining_s():
                    raise self._given_up(told, attempt, started_s) from told
                self._recorder.count("connect_retries")
                self._clock.sleep(wait_s)
            else:
                self._recorder.connected((self._clock.monotonic() - started_s) * 1000)
                return session

    def _attempt(self, attempt: int, deadline: Deadline) -> Session:
        """Try once. Each attempt may take twice as long as the one before.

        A server that many come to at once answers late, and what it did for a client that has
        hung up is lost: attempts that all ended at the same time would never get through.
        """
        settings = self._settings
        if not self._tls_is_known:  # reading certificates takes milliseconds: once, at first use
            self._tls, self._tls_is_known = tls_context(settings), True
        timeout_s = settings.connect_timeout_s * 2.0 ** min(attempt, 10)
        login = self._credentials.login(deadline)
        lease = self._cap.take(deadline) if self._cap else None
        if lease is None:
            return self._log_in(login, timeout_s, deadline)
        try:
            session = self._log_in(login, timeout_s, deadline)
        except ConnectError as error:
            (lease.abandon if error.session_may_live else lease.give_back)()
            raise
        except BaseException:
            lease.abandon()
            raise
        self._cover(session, lease, deadline)
        return session

    def _log_in(self, login: Login, timeout_s: float, deadline: Deadline) -> Session:
        """Connect; and again where the server refused a login that has changed meanwhile."""
        for _ in range(RENEWALS):
            try:
                return self._connect(login, deadline.within(timeout_s))
            except AuthenticationFailed as error:
                other = self._credentials.renewed(login, deadline) if error.sqlstate else None
                if other is None:
                    raise
            self._recorder.count("connect_retries")
            login = other
        return self._connect(login, deadline.within(timeout_s))

    def _connect(self, login: Login, bounded: Deadline) -> Session:
        self._where = login.settings
        return connect(login.settings, login.password, self._tls, bounded, self._clock)

    def _cover(self, session: Session, lease: Lease, deadline: Deadline) -> None:
        """Let the lease stand for the session, or end it again."""
        session.lease = lease
        try:
            kept = self._cap is None or self._cap.cover(lease, session, deadline)
        except BaseException:
            session.end_and_give_back()
            raise
        if not kept:
            session.end_and_give_back()
            raise ServerUnavailable("connecting took so long that the session's lease was lost")

    def cancel(self, session: Session) -> None:
        """Stop what the session still runs on the server; its caller gave up at the deadline."""
        if self._settings.flavour is not Flavour.RDS_PROXY:  # which knows no CancelRequest
            bounded = Deadline.after(CANCEL_BOUND_S, self._clock)
            cancel(self._where, self._tls, session.cancel_key, bounded)

    def _given_up(self, error: ConnectError, attempts: int, started_s: float) -> ConnectError:
        took_s = self._clock.monotonic() - started_s
        tried = f"tried {attempts} time{'s' if attempts > 1 else ''} in {took_s:.1f} s"
        advice = type(error)().args[0]
        said = error.args[0].removesuffix(advice).rstrip(" .")
        told = type(error)(f"{said} ({tried}). {advice}")
        told.__dict__.update(error.__dict__)  # the SQLSTATE, and the numbers of a cap
        told.gave_up = True
        return told
