"""The database server, as its administrator: one broker for each database that is visited."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from broker import Broker, ConnectError, Result, StatementError

from .facts import PRIVILEGES_SQL, ROLES_SQL, SERVER_SQL, Facts, Privileges
from .refusal import Refused
from .statements import Statement

log = logging.getLogger("provisioner")

HOME = "postgres"  # the database that each server has, unless somebody dropped it
TEMPLATE = "template1"  # the database that each server surely has
NO_SUCH_DATABASE = "3D000"
DENIED = "42501"


class Server:
    """Runs statements in whichever database they are for; `with` closes what was opened."""

    def __init__(self, connect: Callable[[str], Broker]) -> None:
        self._connect = connect
        self._brokers: dict[str, Broker] = {}
        self._closing = ExitStack()
        self.home = HOME

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.close()

    def facts(self, names: list[str]) -> Facts:
        """Return what the server has, of these roles."""
        try:
            told = self._ask(HOME, SERVER_SQL)
        except ConnectError as error:
            if error.sqlstate != NO_SUCH_DATABASE:
                raise
            self.home = TEMPLATE
            told = self._ask(TEMPLATE, SERVER_SQL)
        return Facts.read(told, self._ask(self.home, ROLES_SQL, names=names))

    def privileges(self, database: str, names: list[str]) -> Mapping[str, Privileges]:
        """Return what these roles may do in that database."""
        rows = self._ask(database, PRIVILEGES_SQL, names=names)
        return {name: Privileges(*may) for name, *may in rows}

    def run(self, statement: Statement, database: str | None = None) -> None:
        """Run one statement; raises Refused where the server refuses it and it is not optional."""
        try:
            self._ask(database or self.home, statement.sql)
        except StatementError as error:
            if not statement.optional:
                raise _refusal(statement, error) from error
            log.warning("left out: %s: %s", statement.what, error)
        else:
            log.info("done: %s", statement.what)

    def run_together(self, statements: list[Statement]) -> None:
        """Run all of them or none."""
        with self._broker(self.home).transaction() as tx:
            for statement in statements:
                try:
                    tx.run(statement.sql)
                except StatementError as error:
                    raise _refusal(statement, error) from error
        log.info("done: %s", ", ".join(statement.what for statement in statements))

    def log_in_again(self) -> None:
        """Open another session as the administrator; raises ConnectError where that fails."""
        with self._connect(self.home) as db:
            db.run("select 1")

    def _ask(self, database: str, sql: str, **parameters: Any) -> Result:
        return self._broker(database).run(sql, **parameters)

    def _broker(self, database: str) -> Broker:
        if database not in self._brokers:
            self._brokers[database] = self._closing.enter_context(self._connect(database))
        return self._brokers[database]


def _refusal(statement: Statement, error: StatementError) -> Refused:
    advice = ""
    if error.sqlstate == DENIED:
        advice = (
            " (the administrator needs CREATEROLE, CREATEDB and, from PostgreSQL 16 on, the ADMIN "
            "OPTION on a role that it did not make: have that granted to it)"
        )
    return Refused(f"{statement.what}: {error}{advice}")
