"""A session lent out whole, for what a single statement cannot do: COPY, cursors, prepare."""

from __future__ import annotations

from typing import Any

from broker.deadline import Deadline
from broker.errors import TransactionEnded
from broker.wire import Session


class ExclusiveSession:
    """The face of pg8000.native.Connection, for as long as the `with` block lasts.

    Everything that pg8000.native documents is there, and statements are single flights. The
    server's errors are pg8000's own, as code written for it expects; a lost connection and a
    passed deadline are the broker's.
    """

    def __init__(self, session: Session, deadline: Deadline) -> None:
        session.bound(deadline)
        self._session: Session | None = session

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._session is None:
            raise TransactionEnded
        return getattr(self._session, name)

    def end(self) -> None:
        """Let nothing more through."""
        self._session = None

    def __repr__(self) -> str:
        return f"<ExclusiveSession of {self._session!r}>" if self._session else "<ended session>"
