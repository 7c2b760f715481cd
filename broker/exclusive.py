"""A session lent out whole, for what a single statement cannot do: COPY, cursors, prepare."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from broker.deadline import Deadline
from broker.errors import (
    BrokerError,
    ConnectionLost,
    ParameterError,
    StatementError,
    TransactionEnded,
    outcome_unknown,
)
from broker.guard import Guard
from broker.sql import Kind, Statement, Style, compile, refuse_without_stream
from broker.transaction import roll_back
from broker.types.converters import Converters
from broker.wire import Inbox, Manner, Reply, Session, Status
from broker.wire import Prepared as PreparedStatement

T = TypeVar("T")


class ExclusiveSession:
    """The calls and results of pg8000.native.Connection, for as long as the `with` block lasts.

    Every statement is one round trip, bounded by the deadline, and values are exact as everywhere.
    The server's errors are pg8000's own, as code written for it expects. Lost connections and
    passed deadlines are the broker's: an answer that was lost is an OutcomeUnknown, but inside a
    transaction that was not committed.
    """

    def __init__(
        self,
        session: Session,
        guard: Guard,
        deadline: Deadline,
        converters: Converters | None = None,
    ) -> None:
        self._session: Session | None = session
        self._guard = guard
        self._deadline = deadline
        self._inbox = Inbox()
        self._converters = converters
        self._reply: Reply | None = None
        self._names = itertools.count(1)

    def __repr__(self) -> str:
        return f"<ExclusiveSession of {self._session!r}>" if self._session else "<ended session>"

    def run(
        self,
        sql: str,
        stream: Any = None,
        types: Mapping[str, int] | None = None,
        **params: Any,
    ) -> Any:
        """Run a statement, or without parameters several; return the rows, or None.

        `types` gives the oid of a parameter that its value does not tell.
        """
        session = self._live()
        manner = Manner(stream=stream, converters=self._converters, inbox=self._inbox)
        statement, values = _bound(sql, params)
        refuse_without_stream(statement, stream)
        if not params and stream is None:
            return self._call(
                statement, lambda: session.query(sql.encode(), self._deadline, manner)
            )
        oids = [(types or {}).get(name, 0) for name in statement.names]
        manner = manner._replace(oids=oids)
        if statement.copies_writes and session.status is Status.IDLE:
            return self._copy_in_a_transaction(statement, values, manner)
        return self._call(statement, lambda: self._execute(statement, values, manner))

    def _execute(
        self,
        statement: Statement,
        values: Sequence[object],
        manner: Manner,
        begin: bytes | None = None,
    ) -> Reply:
        return self._live().execute(
            statement.text,
            [values],
            self._deadline,
            begin=begin,
            rides=False,
            manner=manner,
            labels=statement.labels,
        )

    def _copy_in_a_transaction(
        self, statement: Statement, values: Sequence[object], manner: Manner
    ) -> Any:
        """Keep what COPY wrote only if the stream took all that it gave."""
        session = self._live()
        try:
            self._call(
                statement, lambda: self._execute(statement, values, manner, b"begin"), undone=True
            )
        except BaseException:
            roll_back(session, self._deadline)  # whose caller began nothing
            raise
        reply = self._reply
        self._call(
            statement,
            lambda: session.execute(b"commit", [()], self._deadline, rides=False),
            undone=False,
        )
        self._reply = reply
        return None

    def prepare(self, sql: str) -> Prepared:
        """Prepare a statement; behind a pooler it must track those (max_prepared_statements)."""
        session = self._live()
        statement = _compiled(sql)
        name = b"broker_%d" % next(self._names)
        prepared = self._guarded(
            statement, lambda: session.prepare(name, statement.text, self._deadline)
        )
        return Prepared(self, prepared, statement)

    @property
    def columns(self) -> Any:
        """The last result's columns, as pg8000 describes them."""
        self._live()
        if self._reply is None or not self._reply.described:
            return None
        return [field._asdict() for field in self._reply.described]

    @property
    def row_count(self) -> Any:
        """How many rows the last statement returned or changed; -1 where none are counted."""
        self._live()
        return None if self._reply is None else self._reply.row_count

    @property
    def notices(self) -> deque[dict[bytes, bytes]]:
        """What the server remarked, the last hundred: each the fields of a NoticeResponse."""
        return self._inbox.notices

    @property
    def notifications(self) -> deque[tuple[int, str, str]]:
        """What came by NOTIFY, the last hundred: (backend's pid, channel, payload)."""
        return self._inbox.notifications

    @property
    def parameter_statuses(self) -> dict[str, str]:
        """What the server reported of its settings."""
        return dict(self._live().settings)

    def register_in_adapter(self, oid: int | str, in_func: Callable[[str], Any]) -> None:
        """Convert this type of the server's, an oid or a name, with `in_func`."""
        self._live()
        self._converters = (self._converters or Converters()).with_result(oid, in_func)

    def register_out_adapter(self, typ: type, out_func: Callable[[Any], Any]) -> None:
        """Send this type of Python's as `out_func` renders it."""
        self._live()
        self._converters = (self._converters or Converters()).with_parameter(typ, out_func)

    def end(self) -> None:
        """Let nothing more through."""
        self._session = None

    def _live(self) -> Session:
        if self._session is None:
            raise TransactionEnded
        return self._session

    def _call(
        self, statement: Statement, function: Callable[[], Reply], *, undone: bool | None = None
    ) -> Any:
        reply = self._reply = self._guarded(statement, function, undone=undone)
        return reply.rows if reply.described or reply.rows else None

    def _guarded(
        self, statement: Statement, function: Callable[[], T], *, undone: bool | None = None
    ) -> T:
        """Call it, with errors as the class has them.

        `undone`: whether the server rolls it back where its answer is lost; None where the
        statement tells.
        """
        session = self._live()
        self._guard.check_lent(statement)
        if undone is None:
            undone = session.status is not Status.IDLE and statement.kind is not Kind.CONTROL
        try:
            return function()
        except StatementError as error:
            from pg8000.exceptions import DatabaseError  # late for its weight

            raise DatabaseError(error.fields) from None
        except BrokerError as error:
            not_sent = isinstance(error, ConnectionLost) and not error.may_have_run
            if session.whole or undone or not_sent:
                raise
            raise outcome_unknown("a statement", error) from error


class Prepared:
    """A prepared statement of a lent session; it ends with it."""

    def __init__(
        self, lent: ExclusiveSession, prepared: PreparedStatement, statement: Statement
    ) -> None:
        self._lent = lent
        self._prepared = prepared
        self._statement = statement
        self._closed = False

    def run(self, **params: Any) -> Any:
        """Run it, and return the rows, or None."""
        lent, statement = self._lent, self._statement
        session = lent._live()
        if self._closed:
            raise TransactionEnded("the prepared statement was closed")
        values = _values(statement, params)
        manner = Manner(converters=lent._converters, inbox=lent._inbox)
        return lent._call(
            statement,
            lambda: session.execute_prepared(
                self._prepared, values, lent._deadline, labels=statement.labels, manner=manner
            ),
        )

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns of its results."""
        return [field._asdict() for field in self._prepared.described]

    def close(self) -> None:
        """Let the server forget it. The second time does nothing."""
        if self._closed:
            return
        self._closed = True
        session = self._lent._live()
        self._lent._guarded(
            self._statement,
            lambda: session.close_prepared(self._prepared, self._lent._deadline),
        )


def _bound(sql: str, params: Mapping[str, object]) -> tuple[Statement, Sequence[object]]:
    statement = _compiled(sql)
    return statement, _values(statement, params) if params else ()


def _compiled(sql: str) -> Statement:
    try:
        return compile(sql)
    except ParameterError:  # a $1, which pg8000 takes: the parameters in the order given
        return compile(sql, Style.NUMERIC_DOLLAR)


def _values(statement: Statement, params: Mapping[str, object]) -> Sequence[object]:
    if statement.style is Style.NUMERIC_DOLLAR:
        return list(params.values())
    return statement.values(params)
