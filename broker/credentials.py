"""Who logs in, and with what: a password, a secret or a token, kept for as long as it is good."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from broker.deadline import Clock, Deadline
from broker.errors import SecretUnavailable
from broker.login import Login
from broker.settings import Settings

if TYPE_CHECKING:
    from broker.iam import Iam
    from broker.secret import Secret


class Credentials:
    """The login that a new session is opened with. Thread-safe; does nothing before it is asked.

    However many threads want one at once, it is obtained once for all of them, outside of the
    lock.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._changes = bool(settings.secret_arn or settings.auth)
        self._source: Secret | Iam | None = None
        self._kept: Login | None = None
        if not self._changes:
            self._kept = Login(settings, settings.password, clock.now())
        self.after_fork()

    def __repr__(self) -> str:
        return f"<Credentials of {self._settings!r}>"

    def after_fork(self) -> None:
        """In a forked child: nobody else is here who could obtain one or hold the lock."""
        self._lock = threading.Lock()
        self._under_way: _Obtaining | None = None

    def forget(self) -> None:
        """Keep nothing that changes: it belongs to a snapshot that may be weeks old."""
        if self._changes:
            self._kept = None

    def login(self, deadline: Deadline) -> Login:
        """Return the login as it is now.

        Raises SecretUnavailable, or ConfigurationError where no waiting mends it.
        """
        return self._get(None, deadline)

    def renewed(self, refused: Login, deadline: Deadline) -> Login | None:
        """Return another login after the server refused this one, or None where there is none."""
        login = self._get(refused, deadline) if self._changes else refused
        return None if login is refused else login

    def _get(self, refused: Login | None, deadline: Deadline) -> Login:
        with self._lock:
            kept, under_way = self._kept, self._under_way
            if under_way is None and kept is not None and kept is not refused and self._good(kept):
                return kept
            if under_way is None:
                mine = self._under_way = _Obtaining()
        if under_way is not None:
            return under_way.wait(deadline)
        try:
            mine.login = login = self._source_of_logins().obtain(refused, deadline)
        except Exception as error:
            mine.error = error
            raise
        else:
            self._kept = login
            return login
        finally:
            with self._lock:
                self._under_way = None
            mine.over.set()

    def _good(self, login: Login) -> bool:
        if self._source is None:
            return True
        return self._clock.now().since(login.obtained_at) < self._source.life_s

    def _source_of_logins(self) -> Secret | Iam:
        if self._source is None:  # both late: a password needs neither
            if self._settings.secret_arn:
                from broker.secret import Secret

                self._source = Secret(self._settings, self._settings.secret_arn, self._clock)
            else:
                from broker.iam import Iam

                self._source = Iam(self._settings, self._clock)
        return self._source


class _Obtaining:
    """One thread is obtaining a login that others wait for."""

    login: Login | None = None
    error: Exception | None = None

    def __init__(self) -> None:
        self.over = threading.Event()

    def wait(self, deadline: Deadline) -> Login:
        """Return what the other thread got, or raise what it met."""
        if not self.over.wait(min(max(deadline.remaining_s(), 0.0), threading.TIMEOUT_MAX)):
            raise SecretUnavailable("another thread was still reading the secret at the deadline")
        if self.login is None:
            raise self.error or SecretUnavailable()
        return self.login
