"""A connection of PEP 249: it has a session from a transaction's first statement to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from broker.broker import Broker
from broker.dbapi import names
from broker.dbapi.control import Control, Verb
from broker.dbapi.cursor import Cursor
from broker.dbapi.errors import failure, translated
from broker.dbapi.twophase import TwoPhase, Xid
from broker.errors import TransactionEnded, UnsafeStatement
from broker.sql import Kind, Statement, refuse_without_stream
from broker.transaction import Transaction, begin_sql
from broker.types.converters import Converters
from broker.wire import Inbox, Manner, Reply


def connect(db: Broker) -> Connection:
    """Return a connection that borrows its sessions from `db`; that does no I/O."""
    return Connection(db)


@contextmanager
def begin(db: Broker) -> Iterator[Connection]:
    """Lend a connection for one transaction: committed on leaving, rolled back on an exception.

    `db.retry(fn, begin=partial(begin, db))` runs fn(connection) again where nothing was kept.
    """
    with connect(db) as connection:
        yield connection
        connection.commit()


class Connection:
    """PEP 249's connection, with pg8000.dbapi's extensions.

    Nothing is sent before the first statement, with which BEGIN rides; commit, rollback and close
    give the session back. In autocommit each statement has one for its own flight. What an
    invocation left open was rolled back at its end: the next one's handler begins anew, and a
    thread that went on with it is told so, once.
    """

    Warning = names.Warning
    Error = names.Error
    InterfaceError = names.InterfaceError
    DatabaseError = names.DatabaseError
    OperationalError = names.OperationalError
    IntegrityError = names.IntegrityError
    InternalError = names.InternalError
    ProgrammingError = names.ProgrammingError
    NotSupportedError = names.NotSupportedError
    DataError = names.DataError

    def __init__(self, db: Broker) -> None:
        self.autocommit = False
        self.isolation_level: str | None = None
        """Of the transactions begun from here on, such as "serializable"; None for the role's."""
        self.read_only = False
        """Whether the server lets it write nothing; in autocommit too, where a statement whose
        answer is lost is then sent again."""
        self.deferrable = False
        self._db = db  # which sees to forks, and to the environment's end, while it lives
        self._converters = db.runner.means.manner.converters
        self._inbox = Inbox()
        self._runner = db.runner.with_manner(Manner(inbox=self._inbox))
        self._current = db.runner.current
        self._two_phase = TwoPhase(self)
        self._transaction: Transaction | None = None
        self._asked: str | None = None  # the modes of a BEGIN that rides with the next statement
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "in a transaction" if self._transaction else "idle"
        return f"<broker.dbapi.Connection {state}>"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed:
            self.close()

    @translated
    def cursor(self) -> Cursor:
        """Return a new cursor."""
        self.refuse_if_closed()
        return Cursor(self)

    @translated
    def commit(self) -> None:
        """Commit: one flight, or none where nothing was sent. An answer that is lost is looked up.

        Raises OperationalError where nothing was kept or nobody can tell (broker.OutcomeUnknown),
        InternalError where a statement had failed.
        """
        self.refuse_if_closed()
        self._two_phase.refuse()
        self.end(commit=True)

    @translated
    def rollback(self) -> None:
        """Roll back: one flight, or none where nothing was sent. Never fails in an open one."""
        self.refuse_if_closed()
        self._two_phase.refuse()
        self.end(commit=False)

    @translated
    def close(self) -> None:
        """Roll back what is open, and let nothing more through."""
        self.refuse_if_closed()
        self.end(commit=False)
        self._closed = True

    def refuse_if_closed(self) -> None:
        """Raise InterfaceError after close()."""
        if self._closed:
            raise failure("connection is closed", TransactionEnded)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open that commit() would commit."""
        return self._transaction is not None and not self._transaction.outlived

    # What a cursor has it do.

    def send(
        self,
        statement: Statement,
        batch: Sequence[Sequence[object]],
        *,
        oids: Sequence[int] = (),
        stream: Any = None,
        further: Sequence[bytes] = (),
    ) -> Reply:
        """Run a statement in the transaction, or by itself in autocommit; in one round trip."""
        refuse_without_stream(statement, stream)
        manner = Manner(oids, stream, further, self._converters, self._inbox)
        self._runner.means.guard.check_lent(statement)
        if self._transaction is not None and not self.in_transaction:
            self.end(commit=False)
            if not self._current.in_handler:
                raise TransactionEnded("it was rolled back when its invocation ended")
        if self._transaction is None and self.autocommit and self._asked is None:
            if self.read_only:
                return self._runner.read(statement, batch, manner)
            return self._runner.run(statement, batch, manner)
        return (self._transaction or self._begin()).send(statement, batch, manner)

    def _begin(self) -> Transaction:
        begin = begin_sql(read_only=self.read_only, isolation=self.isolation_level)
        asked, self._asked = self._asked or "", None
        modes = " ".join(filter(None, ("deferrable" if self.deferrable else "", asked)))
        begin += f" {modes}".encode() if modes else b""
        read_only = self.read_only and not asked
        self._transaction = self._runner.begin(begin, read_only=read_only)
        return self._transaction

    def send_alone(self, statement: Statement) -> Reply:
        """Run a statement by itself, whatever the mode."""
        return self._runner.run(statement._replace(kind=Kind.ALONE), [()])

    def control(self, control: Control, statement: Statement) -> bool:
        """Do what the statement says to the transaction; False where it is to be sent in it."""
        verb, begun = control.verb, self.in_transaction
        if verb in (Verb.COMMIT, Verb.ROLLBACK):
            self.end(commit=verb is Verb.COMMIT)
        elif verb is Verb.BEGIN and not begun:
            self.ask(control.modes)
        elif verb is Verb.SET and not begun and (self._asked is not None or not self.autocommit):
            self.ask(" ".join(filter(None, (self._asked, control.modes))))
        elif verb is Verb.PREPARED:
            self.send_alone(statement)
        elif verb in (Verb.CHAIN, Verb.PREPARE):
            instead = "begin again" if verb is Verb.CHAIN else "use tpc_begin() and tpc_prepare()"
            raise failure(f"{statement.head} is not supported: {instead}", UnsafeStatement)
        else:
            return False
        return True

    def ask(self, modes: str) -> None:
        """Let a BEGIN with these modes ride with the next statement, in autocommit too."""
        self._asked = modes

    def end(self, *, commit: bool) -> None:
        """End the transaction, if there is one, and give its session back."""
        transaction, self._transaction, self._asked = self._transaction, None, None
        if transaction is not None:
            (transaction.commit if commit else transaction.rollback)()

    # pg8000.dbapi's extensions.

    @property
    def notices(self) -> Any:
        """What the server remarked, the last hundred: each the fields of a NoticeResponse."""
        return self._inbox.notices

    @property
    def notifications(self) -> Any:
        """What came by NOTIFY in one of its transactions: (backend's pid, channel, payload)."""
        return self._inbox.notifications

    @property
    def parameter_statuses(self) -> dict[str, str]:
        """What the server reported of its settings when it answered the last statement."""
        return dict(self._inbox.settings)

    def register_out_adapter(self, typ: type, out_func: Callable[[Any], Any]) -> None:
        """Send this type of Python's as `out_func` renders it, on this connection."""
        self._converters = (self._converters or Converters()).with_parameter(typ, out_func)

    def register_in_adapter(self, oid: int | str, in_func: Callable[[str], Any]) -> None:
        """Convert this type of the server's with `in_func`, on this connection.

        The type is its oid, or its name, as in "hstore" or "app.mood".
        """
        self._converters = (self._converters or Converters()).with_result(oid, in_func)

    def xid(self, format_id: int, global_transaction_id: str, branch_qualifier: str) -> Xid:
        """Return a transaction id for the calls below; PostgreSQL uses its second part."""
        return (format_id, global_transaction_id, branch_qualifier)

    @translated
    def tpc_begin(self, xid: Xid) -> None:
        """Begin a two-phase transaction."""
        self._two_phase.begin(xid)

    @translated
    def tpc_prepare(self) -> None:
        """Prepare it: from here on it survives its session, until it is committed or not."""
        self._two_phase.prepare()

    @translated
    def tpc_commit(self, xid: Xid | None = None) -> None:
        """Commit it, prepared or not, or one that was prepared anywhere and is named."""
        self._two_phase.finish(xid, commit=True)

    @translated
    def tpc_rollback(self, xid: Xid | None = None) -> None:
        """Roll it back, prepared or not, or one that was prepared anywhere and is named."""
        self._two_phase.finish(xid, commit=False)

    @translated
    def tpc_recover(self) -> list[Xid]:
        """Return what is prepared in this cluster."""
        return self._two_phase.pending()
