"""A cursor of PEP 249: statements in single flights, and the rows of the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from broker.dbapi import names
from broker.dbapi.control import control
from broker.dbapi.errors import failure, translated
from broker.errors import ParameterError, TransactionEnded
from broker.sql import Kind, Statement, Style, compile, split
from broker.wire import Reply
from broker.wire.rows import Field

if TYPE_CHECKING:
    from broker.dbapi.connection import Connection

Column = tuple[str, int, None, None, None, None, None]


class Cursor:
    """PEP 249's cursor. All rows come with the statement's flight; a fetch sends nothing."""

    def __init__(self, connection: Connection) -> None:
        self.arraysize = 1
        self._connection: Connection | None = connection
        self._oids: tuple[int, ...] = ()
        self._forget()

    def __repr__(self) -> str:
        return f"<broker.dbapi.Cursor {'open' if self._connection else 'closed'}>"

    @property
    def connection(self) -> Connection:
        """The connection it belongs to."""
        return self._live()

    @property
    def description(self) -> list[Column] | None:
        """The columns: name and type_code (the type's oid); None where there are no rows."""
        return [
            (each.name, each.type_oid, None, None, None, None, None) for each in self._described
        ] or None

    @property
    def rowcount(self) -> int:
        """Rows returned or changed, over all of executemany's; -1 where the server counts none."""
        return self._rowcount

    @translated
    def execute(self, operation: str, args: Sequence[Any] | None = (), stream: Any = None) -> None:
        """Run a statement, its parameters in place of each %s; or without parameters several.

        Without parameters the text is sent as it is, percent signs and all. `stream` is what COPY
        reads from or writes to: a file, or for COPY FROM an iterable.
        """
        connection, oids = self._begin(), self._sizes()
        if not args and stream is None:
            self._run(connection, operation)
            return
        statement = compile(operation, Style.FORMAT)
        batch = [_values(statement, args or ())]
        self._take(connection.send(statement, batch, oids=oids, stream=stream))

    @translated
    def executemany(self, operation: str, param_sets: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each list of parameters: one flight, all of them or none.

        The rows are those of all of them, in order; `rowcount` is the sum.
        """
        connection, oids = self._begin(), self._sizes()
        statement = compile(operation, Style.FORMAT)
        batch = [_values(statement, each) for each in param_sets]
        self._send_many(connection, statement, batch, oids)

    @translated
    def execute_native(self, operation: str, args: Sequence[Any] = ()) -> None:
        """Run a statement whose parameters are $1 … $n, as the server has them."""
        connection, oids = self._begin(), self._sizes()
        if args:
            self._take(connection.send(_native(operation), [args], oids=oids))
        else:
            self._run(connection, operation)

    @translated
    def executemany_native(self, operation: str, param_sets: Iterable[Sequence[Any]]) -> None:
        """Do what executemany does, for $1 … $n."""
        connection, oids = self._begin(), self._sizes()
        self._send_many(connection, _native(operation), list(param_sets), oids)

    @translated
    def callproc(self, procname: str, parameters: Sequence[Any] | None = None) -> Sequence[Any]:
        """CALL a procedure; what it gives back is a row to fetch. Returns the parameters."""
        connection, oids = self._begin(), self._sizes()
        given = parameters or ()
        marks = ", ".join(["%s"] * len(given))
        statement = compile(f"CALL {procname}({marks})", Style.FORMAT)
        self._take(connection.send(statement, [given], oids=oids))
        return given

    def _begin(self) -> Connection:
        connection = self._live()
        self._forget()
        return connection

    def _sizes(self) -> tuple[int, ...]:
        """Return what setinputsizes said, which holds for one statement only."""
        oids, self._oids = self._oids, ()
        return oids

    def _live(self) -> Connection:
        if self._connection is None:
            raise failure("Cursor closed", TransactionEnded)
        self._connection.refuse_if_closed()
        return self._connection

    def _send_many(
        self,
        connection: Connection,
        statement: Statement,
        batch: list[Sequence[Any]],
        oids: tuple[int, ...],
    ) -> None:
        if statement.kind in (Kind.CONTROL, Kind.COPY):
            raise failure(f"{statement.head} cannot be run many times: use execute()")
        if batch:
            self._take(connection.send(statement, batch, oids=oids))

    def _run(self, connection: Connection, operation: str) -> None:
        """Run a text without parameters: in one flight, but for what must be by itself."""
        parts = [_native(part) for part in split(operation)]
        if len(parts) > 1 and not any(p.kind in (Kind.CONTROL, Kind.COPY) for p in parts):
            reads = all(part.reads for part in parts)
            whole = _native(operation)._replace(text=parts[0].text, reads=reads)
            further = [part.text for part in parts[1:]]
            self._take(connection.send(whole, [()], further=further))
            return
        for part in parts:
            if not connection.control(control(part.sql), part):
                self._take(connection.send(part, [()]))

    def _forget(self) -> None:
        self._described: Sequence[Field] = ()
        self._rows: Iterator[list[Any]] | None = None
        self._rowcount = -1

    def _take(self, reply: Reply) -> None:
        self._described = reply.described
        self._rows = iter(reply.rows) if reply.described or reply.rows else None
        self._rowcount = reply.row_count

    # What has come, row by row.

    def __iter__(self) -> Iterator[list[Any]]:
        return self

    def __next__(self) -> list[Any]:
        return next(self._fetching())

    def fetchone(self) -> list[Any] | None:
        """Return the next row, or None after the last."""
        return next(self, None)

    def fetchmany(self, num: int | None = None) -> tuple[list[Any], ...]:
        """Return the next `num` rows (`arraysize` if None), or what is left."""
        return tuple(islice(self._fetching(), self.arraysize if num is None else num))

    def fetchall(self) -> tuple[list[Any], ...]:
        """Return the rows that are left."""
        return tuple(self._fetching())

    @translated
    def _fetching(self) -> Iterator[list[Any]]:
        self._live()
        if self._rows is None:
            raise failure("there are no rows: no statement was run, or it returns none")
        return self._rows

    def close(self) -> None:
        """Let nothing more through; the connection stays as it is."""
        self._connection = None

    def setinputsizes(self, *sizes: Any) -> None:
        """Say the types of the next statement's parameters: oids, or Python's types."""
        self._oids = tuple(names.oid_of(size) for size in sizes)

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing: values come whole."""


def _native(sql: str) -> Statement:
    return compile(sql, Style.NUMERIC_DOLLAR)


def _values(statement: Statement, args: Sequence[Any]) -> Sequence[Any]:
    """Return the parameters; raises ParameterError where they are not the statement's."""
    if isinstance(args, (str, bytes, Mapping)) or not isinstance(args, Sequence):
        raise ParameterError(
            f"parameters must be a list or tuple, one for each %s, not {args!r:.60}"
        )
    if len(args) != len(statement.names):
        raise ParameterError(
            f"the statement has {len(statement.names)} %s, and {len(args)} parameters were given"
        )
    return args
