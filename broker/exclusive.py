"""A session lent out whole, for what a single statement cannot do: COPY, cursors, prepare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from broker.deadline import Deadline
from broker.errors import ConnectionLost, ParameterError, TransactionEnded, outcome_unknown
from broker.guard import Guard
from broker.sql import Kind, Statement, compile
from broker.wire import Session
from broker.wire.session import Status

T = TypeVar("T")


class ExclusiveSession:
    """pg8000.native.Connection's documented face, for as long as the `with` block lasts.

    Statements are single flights, bounded by the deadline. The server's errors are pg8000's own,
    as code written for it expects. Lost connections and passed deadlines are the broker's: an
    answer that was lost is an OutcomeUnknown, but inside a transaction that was not committed.
    """

    def __init__(self, session: Session, guard: Guard, deadline: Deadline) -> None:
        session.bound(deadline)
        self._session: Session | None = session
        self._guard = guard

    def __repr__(self) -> str:
        return f"<ExclusiveSession of {self._session!r}>" if self._session else "<ended session>"

    def run(
        self, sql: str, stream: Any = None, types: dict[str, int] | None = None, **params: Any
    ) -> Any:
        """Run a statement, or without parameters several; return the rows, or None."""
        return self._call(sql, self._live().run, sql, stream=stream, types=types, **params)

    def prepare(self, sql: str) -> Prepared:
        """Prepare a statement; behind a pooler it must track those (max_prepared_statements)."""
        return Prepared(self, self._call(sql, self._live().prepare, sql), sql)

    @property
    def columns(self) -> Any:
        """The last result's columns, as pg8000 describes them."""
        return self._live().columns

    @property
    def row_count(self) -> Any:
        """How many rows the last statement returned or changed."""
        return self._live().row_count

    @property
    def notices(self) -> Any:
        """What the server remarked."""
        return self._live().notices

    @property
    def notifications(self) -> Any:
        """What came by NOTIFY: (backend's pid, channel, payload)."""
        return self._live().notifications

    @property
    def parameter_statuses(self) -> Any:
        """What the server reported of its settings."""
        return self._live().parameter_statuses

    def register_in_adapter(self, oid: int, in_func: Callable[[str], Any]) -> None:
        """Convert this type of the server's with `in_func`."""
        self._live().register_in_adapter(oid, in_func)

    def register_out_adapter(self, typ: type, out_func: Callable[[Any], Any]) -> None:
        """Send this type of Python's as `out_func` renders it."""
        self._live().register_out_adapter(typ, out_func)

    def end(self) -> None:
        """Let nothing more through."""
        self._session = None

    def _live(self) -> Session:
        if self._session is None:
            raise TransactionEnded
        return self._session

    def _call(self, sql: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        session = self._live()
        statement = _compiled(sql)
        if statement is not None:
            self._guard.check_lent(statement)
        ends = statement is None or statement.kind is Kind.CONTROL
        undone = session.status is not Status.IDLE and not ends
        try:
            return function(*args, **kwargs)
        except Exception as error:
            not_sent = isinstance(error, ConnectionLost) and not error.may_have_run
            if session.whole or undone or not_sent:
                raise
            raise outcome_unknown("a statement", error) from error


class Prepared:
    """A prepared statement of a lent session; it ends with it."""

    def __init__(self, lent: ExclusiveSession, prepared: Any, sql: str) -> None:
        self._lent = lent
        self._prepared = prepared
        self._sql = sql

    def run(self, **params: Any) -> Any:
        """Run it, and return the rows, or None."""
        return self._lent._call(self._sql, self._prepared.run, **params)

    @property
    def columns(self) -> Any:
        """The last result's columns."""
        return self._prepared.columns

    def close(self) -> None:
        """Let the server forget it."""
        self._lent._call(self._sql, self._prepared.close)


def _compiled(sql: str) -> Statement | None:
    try:
        return compile(sql)
    except ParameterError:  # a $1, which pg8000 takes
        return None
