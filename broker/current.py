"""What is under way: the invocation that is served, and what each thread has open in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broker import event_loop
from broker.again import Attempt
from broker.deadline import Clock, Deadline, Turn
from broker.errors import NestedTransaction
from broker.exclusive import ExclusiveSession
from broker.invocation import Invocation
from broker.settings import Settings
from broker.transaction import Transaction

Open = Transaction | ExclusiveSession | Attempt


class Current:
    """What bounds and names whatever is sent now, and what may not be begun beside it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._invocation: Invocation | None = None
        self._thread: int | None = None  # the last invocation's
        self._mine = _OfThread()
        self._event_loop = event_loop.Watch(f"<Broker {settings.destination}>")
        self.turn = Turn()

    @property
    def serving(self) -> bool:
        """Whether an invocation is under way."""
        return self._invocation is not None

    @property
    def in_handler(self) -> bool:
        """Whether an invocation is under way in this thread."""
        return self._invocation is not None and self._thread == threading.get_ident()

    def begin(self, context: Any) -> None:
        """Let everything from here on be bounded by this invocation and named after it."""
        settings = self._settings
        self._invocation = Invocation.of(
            context, settings.margin_s, settings.timeout_s, self._clock, self.turn
        )
        self._thread = threading.get_ident()

    def end(self) -> None:
        """Let whoever is still at work on what was begun get no session for it any more."""
        ended, self.turn = self.turn, Turn()
        ended.over = True
        self._invocation = None

    def deadline(self) -> Deadline:
        """Return what bounds an operation that begins now."""
        self._event_loop.look()
        if self._invocation is not None:
            return self._invocation.deadline
        return Deadline.after(self._settings.timeout_s, self._clock, self.turn)

    @property
    def comment(self) -> bytes:
        """What a statement ends in, so that the server's views name the invocation."""
        return b"" if self._invocation is None else self._invocation.comment

    @contextmanager
    def opened(self, what: Open) -> Iterator[None]:
        """Let it be what this thread has open, unless it leaks and is closed meanwhile."""
        mine = self._mine.open = (self.turn, what)
        try:
            yield
        finally:
            if self._mine.open is mine:
                self._mine.open = None

    @property
    def open(self) -> Open | None:
        """What this thread has open; what an earlier invocation opened is over."""
        mine = self._mine.open
        return mine[1] if mine is not None and not mine[0].over else None

    @property
    def attempt(self) -> Attempt | None:
        """What of this thread may be run again, with all that other faces do in it."""
        return what if isinstance(what := self.open, Attempt) else None

    def refuse_beside(self, call: str, instead: str) -> None:
        """Raise NestedTransaction where this thread has something open: it would not be part."""
        if self.open is not None:
            raise NestedTransaction(
                f"{call} inside an open transaction or session of the same thread would not be "
                f"part of it: use {instead}"
            )

    def after_fork(self) -> None:
        """In a forked child: what the parent's thread has open is not this one's."""
        self._mine = _OfThread()


class _OfThread(threading.local):
    """What each thread has open, and when it was opened."""

    open: tuple[Turn, Open] | None = None
