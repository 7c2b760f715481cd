"""The clients that are compared, each with one open connection, in autocommit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import asyncpg
import pg8000.dbapi
import pg8000.native
import psycopg

from benchmarks.stack import ITEMS, Target
from broker import Broker

ONE_ROW = "select id, name from item where id = {}"
OURS = "db.run"
OURS_RIDING = "db.run, riding"
PG8000_NATIVE = "pg8000.native"
PG8000_DBAPI = "pg8000.dbapi"
PSYCOPG = "psycopg"  # prepare_threshold=None: what its documentation has for poolers
PSYCOPG_PREPARING = "psycopg, preparing"  # its default: on the server, from the fifth time on
ASYNCPG = "asyncpg, preparing"  # its default: every statement, the first time
WARM_UP = 20  # statements: past psycopg's fifth


class Peer:
    """One client library on one connection."""

    def __init__(
        self,
        row: Callable[[int], Any],
        rows: Callable[[str], Any],
        close: Callable[[], object],
    ) -> None:
        self.row = row
        """Selects one row by its id."""
        self.rows = rows
        """Runs a statement without parameters."""
        self.close = close
        self._ids = itertools.cycle(range(1, ITEMS + 1))

    def warm_up(self) -> None:
        """Run what is about to be measured, and see that it returns what it should."""
        self.time_rows(WARM_UP)
        [row] = self.row(7)
        if list(row) != [7, "item 7"]:
            raise AssertionError(f"{row!r} is not the row with id 7")

    def time_rows(self, times: int) -> list[float]:
        """Return the seconds that each of so many one-row statements took."""
        taken, row = [], self.row
        for id_ in itertools.islice(self._ids, times):
            begun = perf_counter()
            row(id_)
            taken.append(perf_counter() - begun)
        return taken

    def time_fetch(self, sql: str) -> float:
        """Return the seconds that a statement of many rows took."""
        begun = perf_counter()
        self.rows(sql)
        return perf_counter() - begun


class AsyncPeer(Peer):
    """asyncpg, whose statements are timed inside its running loop."""

    def __init__(self, target: Target) -> None:
        self._runner = asyncio.Runner()
        sql, run = ONE_ROW.format("$1"), self._runner.run
        try:
            self._fetch = run(_connected(target))
        except BaseException:
            self._runner.close()
            raise
        super().__init__(
            lambda id_: run(self._fetch(sql, id_)), lambda text: run(self._fetch(text)), self._end
        )

    def time_rows(self, times: int) -> list[float]:
        """Return the seconds that each of so many one-row statements took."""
        return self._runner.run(self._time_rows(times))

    async def _time_rows(self, times: int) -> list[float]:
        taken, fetch, sql = [], self._fetch, ONE_ROW.format("$1")
        for id_ in itertools.islice(self._ids, times):
            begun = perf_counter()
            await fetch(sql, id_)
            taken.append(perf_counter() - begun)
        return taken

    def _end(self) -> None:
        with self._runner:
            self._runner.run(self._fetch.__self__.close())


async def _connected(target: Target) -> Any:
    connection = await asyncpg.connect(**_options(target), ssl=False)
    return connection.fetch


def ours(target: Target) -> Peer:
    """Return db.run."""
    db, sql = Broker(target.settings()), ONE_ROW.format(":id")
    return Peer(lambda id_: db.run(sql, id=id_), db.run, db.close)


def pg8000_native(target: Target) -> Peer:
    """Return pg8000.native, whose run() is autocommit."""
    connection = pg8000.native.Connection(**_options(target), ssl_context=False)
    sql = ONE_ROW.format(":id")
    return Peer(lambda id_: connection.run(sql, id=id_), connection.run, connection.close)


def pg8000_dbapi(target: Target) -> Peer:
    """Return pg8000.dbapi in autocommit."""
    connection = pg8000.dbapi.connect(**_options(target), ssl_context=False)
    connection.autocommit = True
    sql = ONE_ROW.format("%s")

    def run(text: str, parameters: Sequence[object] = ()) -> Any:
        cursor = connection.cursor()
        cursor.execute(text, parameters)
        return cursor.fetchall()

    return Peer(lambda id_: run(sql, (id_,)), run, connection.close)


def psycopg_peer(target: Target, prepare_threshold: int | None) -> Peer:
    """Return psycopg 3, the binary build (C on libpq), in autocommit."""
    options = _options(target)
    connection = psycopg.connect(
        **options | {"dbname": options.pop("database")},
        sslmode="disable",
        autocommit=True,
        prepare_threshold=prepare_threshold,
    )
    sql = ONE_ROW.format("%s")
    run = connection.execute
    return Peer(
        lambda id_: run(sql, (id_,)).fetchall(),
        lambda text: run(text).fetchall(),
        connection.close,
    )


def _options(target: Target) -> dict[str, Any]:
    return {
        "host": target.host,
        "port": target.port,
        "user": target.user,
        "password": target.password,
        "database": target.database,
    }


PEERS: dict[str, Callable[[Target], Peer]] = {
    OURS: ours,
    PG8000_NATIVE: pg8000_native,
    PG8000_DBAPI: pg8000_dbapi,
    PSYCOPG: lambda target: psycopg_peer(target, None),
    PSYCOPG_PREPARING: lambda target: psycopg_peer(target, 5),
    ASYNCPG: AsyncPeer,
}
