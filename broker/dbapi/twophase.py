"""Two-phase commit, PEP 249's tpc_ methods; the server needs max_prepared_transactions for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.dbapi.errors import failure
from broker.errors import ConnectionLost, DeadlineExceeded, outcome_unknown
from broker.sql import Statement, Style, compile

if TYPE_CHECKING:
    from broker.dbapi.connection import Connection

Xid = tuple[int, str, str]
"""A format, the id, a branch."""


class TwoPhase:
    """The two-phase transaction of one connection, from tpc_begin to its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._xid: Xid | None = None
        self._prepared = False

    def refuse(self) -> None:
        """Raise ProgrammingError for a commit() or rollback() in the middle of one."""
        if self._xid is not None:
            raise failure("a two-phase transaction is open: use tpc_commit() or tpc_rollback()")

    def begin(self, xid: Xid) -> None:
        """Give the next transaction this id."""
        if self._xid is not None or self._connection.in_transaction:
            raise failure("tpc_begin() in an open transaction: end that first")
        self._xid, self._prepared = xid, False
        self._connection.ask("")

    def prepare(self) -> None:
        """Do the first phase, and give the session back."""
        if self._xid is None or self._prepared:
            raise failure("tpc_prepare() without tpc_begin()")
        try:
            self._connection.send(_statement(f"prepare transaction {_literal(self._xid[1])}"), [()])
        except ConnectionLost as lost:
            if not lost.may_have_run:
                raise
            raise outcome_unknown("PREPARE TRANSACTION", lost) from lost
        except DeadlineExceeded as late:
            if late.sqlstate is not None:  # the server stopped it
                raise
            raise outcome_unknown("PREPARE TRANSACTION", late) from late
        finally:
            self._connection.end(commit=False)
        self._prepared = True

    def finish(self, xid: Xid | None, *, commit: bool) -> None:
        """End it: its own transaction where it was not prepared, or else what was."""
        wanted = xid or self._xid
        if wanted is None:
            raise failure("there is no two-phase transaction, and no xid was given")
        own = self._xid is not None and wanted[1] == self._xid[1]
        try:
            if own and not self._prepared:
                self._connection.end(commit=commit)
            else:
                verb = "commit" if commit else "rollback"
                statement = _statement(f"{verb} prepared {_literal(wanted[1])}")
                self._connection.send_alone(statement)
        finally:
            if own:
                self._xid = None

    def pending(self) -> list[Xid]:
        """Return the ids of what is prepared."""
        found = self._connection.send_alone(_statement("select gid from pg_prepared_xacts"))
        return [(0, gid, "") for (gid,) in found.rows]


def _statement(sql: str) -> Statement:
    return compile(sql, Style.NUMERIC_DOLLAR)


def _literal(gid: str) -> str:
    return "'" + gid.replace("'", "''") + "'"
