"""A thread that outlives its invocation gets no further session for what it had begun.

Its session is closed at the end; on another it would be frozen in the middle, with the environment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker import Broker, BrokerError, ConnectionLost, Transaction, TransactionEnded, dbapi
from tests.conftest import Database
from tests.wait import wait_until

SLOW_COMMIT = """
create function slowly() returns trigger language plpgsql as
    $$ begin perform pg_sleep(1); return null; end $$;
create constraint trigger slow after insert on t deferrable initially deferred
    for each row execute function slowly()"""


@pytest.fixture
def db(broker_to: Callable[..., Broker]) -> Broker:
    made = broker_to(max_sessions=2, timeout_s=20)
    made.run("create table t (k int)")
    return made


class Worker:
    """A thread, and what came of what it did: a result, or the broker's error."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._came: list[Any] = []
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Let it begin."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._came.append(self._work())
        except BrokerError as error:
            self._came.append(error)

    def came(self) -> Any:
        """Return it, once it is there."""
        self._thread.join(60)
        [came] = self._came
        return came


def sleeping(database: Database) -> bool:
    sql = "select count(*) from pg_stat_activity where usename = :role and wait_event = 'PgSleep'"
    return bool(database.server.admin(sql, role=database.user)[0][0])


def serve(db: Broker, meanwhile: Callable[[], object]) -> None:
    """Have an invocation begin, do this, and end."""
    db.handler(lambda event, context: meanwhile())({}, None)


def nap(tx: Transaction | Broker) -> object:
    return tx.run("select pg_sleep(20)")


@pytest.mark.parametrize("begun", ["in the invocation", "before it"])
@pytest.mark.parametrize("call", ["read", "retry"])
def test_what_may_be_run_again_is_not_after_the_end(
    call: str, begun: str, db: Broker, database: Database
) -> None:
    calls = {"read": lambda: db.read("select pg_sleep(20)"), "retry": lambda: db.retry(nap)}
    worker = Worker(calls[call])

    def under_way() -> None:
        worker.start()
        wait_until(lambda: sleeping(database), "the worker's statement to be under way")

    if begun == "before it":
        under_way()
        serve(db, lambda: None)
    else:
        serve(db, under_way)
    assert isinstance(worker.came(), ConnectionLost)
    assert db.stats().transaction_retries == 0


def test_who_waits_for_a_session_is_told_that_the_invocation_ended(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to(max_sessions=1, timeout_s=20)
    worker = Worker(lambda: db.run("select 1"))
    leaked = db.transaction()

    def leak() -> None:
        leaked.__enter__().run("select 1")
        worker.start()
        wait_until(lambda: bool(db._pool._line), "the worker to stand in line")

    serve(db, leak)
    ended = worker.came()
    assert isinstance(ended, TransactionEnded)
    assert "invocation" in str(ended)


def test_a_commit_that_is_under_way_is_looked_up_all_the_same(
    db: Broker, database: Database
) -> None:
    with db.session() as session:
        session.run(SLOW_COMMIT)

    def write() -> str:
        with db.transaction() as tx:
            tx.run("insert into t values (1)")
        return "kept"

    worker = Worker(write)

    def under_way() -> None:
        worker.start()
        wait_until(lambda: sleeping(database), "the COMMIT to be under way")

    serve(db, under_way)
    assert worker.came() == "kept"
    assert db.run("select k from t").scalar() == 1
    assert db.stats().commits_looked_up == 1


def test_half_of_a_dbapi_transaction_is_not_committed(db: Broker) -> None:
    """The first half went with the invocation; the second must not be kept without it."""
    connection = dbapi.connect(db)
    first, ended = threading.Event(), threading.Event()

    def write() -> None:
        cursor = connection.cursor()
        cursor.execute("insert into t values (1)")
        first.set()
        ended.wait(30)
        cursor.execute("insert into t values (2)")
        connection.commit()

    worker = Worker(write)

    def begin() -> None:
        worker.start()
        first.wait(30)

    serve(db, begin)
    ended.set()
    told = worker.came()
    assert isinstance(told, dbapi.InterfaceError)
    assert isinstance(told, TransactionEnded)
    assert db.run("select count(*) from t").scalar() == 0
    connection.cursor().execute("insert into t values (3)")  # it has been told
    connection.commit()
    assert db.run("select k from t").scalar() == 3
