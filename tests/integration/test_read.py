"""`db.read`: the server lets it write nothing, so a lost answer is asked for again; one flight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from broker import (
    Broker,
    ConnectionLost,
    NestedTransaction,
    SerializationFailure,
    ServerUnavailable,
    StatementError,
    UsageError,
)
from broker.dbapi import Connection, begin, connect
from broker.errors import DeadlineExceeded, WriteRefused
from broker.local.relay import Relay
from broker.local.relayed import Way
from broker.settings import Flavour
from broker.sqlalchemy import create_engine
from tests.conftest import Database
from tests.integration.test_outcome import found
from tests.wait import wait_until

WRITES = """create function writes() returns int language sql volatile as
            $$ insert into t values (7) returning k $$"""


@pytest.fixture
def db(relay: Relay, database: Database) -> Iterator[Broker]:
    flavour = Flavour.PGBOUNCER
    with Broker(database.settings(port=relay.port, flavour=flavour, timeout_s=20)) as made:
        made.run("create table t (k int)")
        made.run("insert into t values (1)")
        made.run(WRITES)
        yield made


def count(db: Broker) -> int:
    return int(db.run("select count(*) from t").scalar())


def cut_the_next_answer(relay: Relay) -> threading.Thread:
    """Hold the next flight's answer, and reset the connection once it is there."""
    return cut_the_next(Way.TO_CLIENT, relay)


def cut_the_next(way: Way, relay: Relay) -> threading.Thread:
    """Hold what goes this way next, and reset the connection once there is something."""
    [relayed] = relay.connections
    relayed.pause(way)

    def wait_and_cut() -> None:
        wait_until(lambda: relayed.held(way) > 0, "something to hold")
        relayed.reset()

    thread = threading.Thread(target=wait_and_cut)
    thread.start()
    return thread


def test_it_is_one_flight_and_leaves_nothing_open(
    db: Broker, relay: Relay, database: Database
) -> None:
    before = relay.flights
    rows = db.read("select k, :v::text as v from t where k = :k", k=1, v="x")
    assert relay.flights == before + 1
    assert rows.dicts() == [{"k": 1, "v": "x"}]
    assert (rows.columns, rows.row_count) == (("k", "v"), 1)
    sql = "select count(*) from pg_stat_activity where usename = :role and xact_start is not null"
    assert database.server.admin(sql, role=database.user) == [[0]]
    assert len(relay.connections) == 1
    assert db.read("show transaction_read_only").scalar() == "on"
    assert db.run("show transaction_read_only").scalar() == "off"


def test_a_lost_answer_is_asked_for_again(db: Broker, relay: Relay) -> None:
    thread = cut_the_next_answer(relay)
    assert db.read("select k from t").scalar() == 1
    thread.join()
    stats = db.stats()
    assert (stats.transaction_retries, stats.outcomes_unknown) == (1, 0)


def test_it_gives_up_after_a_few_attempts(db: Broker) -> None:
    """A statement that ends its own session must not be sent for ever."""
    with pytest.raises(ConnectionLost) as caught:
        db.read("select pg_terminate_backend(pg_backend_pid())")
    assert caught.value.sqlstate == "57P01"
    assert db.stats().transaction_retries == 1


def test_a_server_that_is_gone_is_no_lost_answer(db: Broker, relay: Relay) -> None:
    """Opening has had its time: what its error counts is all of the call."""
    relay.stop()
    with Broker(replace(db.settings, timeout_s=1)) as away:
        with pytest.raises(ServerUnavailable) as caught:
            away.read("select k from t")
        stats = away.stats()
        assert f"(tried {stats.connect_retries + 1} times in " in str(caught.value)
        with pytest.raises(ServerUnavailable):
            away.retry(lambda tx: tx.run("select k from t"))
        assert away.stats().transaction_retries == 0


@pytest.mark.parametrize("sql", ["insert into t values (2)", "select writes()"])
def test_what_would_write_is_refused_by_the_server(sql: str, db: Broker, relay: Relay) -> None:
    with pytest.raises(WriteRefused) as caught:
        db.read(sql)
    assert (caught.value.sqlstate, caught.value.by_server) == ("25006", False)
    assert "db.run() does" in str(caught.value)
    assert db.stats().transaction_retries == 0
    assert count(db) == 1
    assert len(relay.connections) == 1, "the session is as good as before"


def test_an_error_leaves_the_session_as_it_was(db: Broker, relay: Relay) -> None:
    with pytest.raises(StatementError, match="division by zero"):
        db.read("select 1/:n", n=0)
    assert db.run("select pg_current_xact_id_if_assigned()").scalar() is None
    assert len(relay.connections) == 1


def test_it_is_bounded_by_the_deadline(relay: Relay, db: Broker, database: Database) -> None:
    with Broker(database.settings(port=relay.port, timeout_s=0.5)) as quick:
        with pytest.raises(DeadlineExceeded):
            quick.read("select pg_sleep(30)")
        with pytest.raises(NestedTransaction, match=r"tx\.run"), quick.transaction():
            quick.read("select 1")


def test_under_rds_proxy_nothing_is_set(relay: Relay, db: Broker, database: Database) -> None:
    """set_config would pin the session."""
    settings = database.settings(port=relay.port, flavour=Flavour.RDS_PROXY)
    with Broker(settings) as proxied:
        proxied.read("select 1")  # connects
        before = relay.flights
        assert proxied.read("show statement_timeout").scalar() == "0"
        assert relay.flights == before + 1
    assert db.read("show statement_timeout").scalar() != "0"


def test_a_read_only_connection_in_autocommit_does_the_same(db: Broker, relay: Relay) -> None:
    connection = connect(db)
    connection.autocommit = connection.read_only = True
    cursor = connection.cursor()
    before = relay.flights
    cursor.execute("select k from t where k = %s", (1,))
    assert (cursor.fetchall(), cursor.rowcount) == (([1],), 1)
    assert relay.flights == before + 1
    thread = cut_the_next_answer(relay)
    cursor.execute("select k from t")
    assert cursor.fetchall() == ([1],)
    thread.join()
    with pytest.raises(connection.DatabaseError, match="read-only"):
        cursor.execute("select writes()")
    assert count(db) == 1


def test_sqlalchemy_s_read_only_autocommit_does_the_same(db: Broker, relay: Relay) -> None:
    engine = create_engine(db).execution_options(
        isolation_level="AUTOCOMMIT", postgresql_readonly=True
    )
    with engine.connect() as connection:
        connection.scalar(sa.text("select 1"))  # the first of an engine asks what the server is
        before = relay.flights
        assert connection.scalar(sa.text("select k from t")) == 1
        assert relay.flights == before + 1
    thread = cut_the_next_answer(relay)
    with Session(engine) as session:
        assert session.scalar(sa.text("select k from t")) == 1
    thread.join()


def test_what_sqlalchemy_asks_a_server_first_is_asked_again(db: Broker, relay: Relay) -> None:
    thread = cut_the_next_answer(relay)
    with create_engine(db).connect() as connection:
        assert connection.scalar(sa.text("select k from t")) == 1
        lent: Any = connection.connection.dbapi_connection
        assert (lent.read_only, lent.autocommit) == (False, False)
    thread.join()


def insert_by_dbapi(connection: Connection) -> int:
    cursor = connection.cursor()
    cursor.execute("select count(*) from t")
    [[found]] = cursor.fetchall()
    cursor.execute("insert into t values (%s)", (found,))
    return int(found)


def insert_by_orm(session: Session) -> int:
    found = session.scalar(sa.text("select count(*) from t")) or 0
    session.execute(sa.text("insert into t values (:k)"), {"k": found})
    return int(found)


@pytest.mark.parametrize("face", ["dbapi", "sqlalchemy"])
@pytest.mark.parametrize("ends", ["first statement", "commit"])
def test_retry_runs_the_other_faces_transactions_again(
    face: str, ends: str, db: Broker, relay: Relay
) -> None:
    """It is lost within, or at COMMIT; where that had happened, it is no failure at all."""
    engine = create_engine(db)
    with engine.connect() as connection:
        connection.scalar(sa.text("select 1"))
    calls: list[threading.Thread] = []

    def once(lent: Connection | Session) -> int:
        if not calls and ends == "first statement":
            calls.append(cut_the_next_answer(relay))
        found = insert_by_dbapi(lent) if isinstance(lent, Connection) else insert_by_orm(lent)
        if not calls:
            calls.append(cut_the_next_answer(relay))
        return found

    opened = partial(begin, db) if face == "dbapi" else sessionmaker(engine).begin
    assert db.retry(once, begin=opened) == 1
    calls[0].join()
    assert count(db) == 2
    stats = db.stats()
    assert (stats.transaction_retries, stats.commits_looked_up) == (
        (1, 0) if ends == "first statement" else (0, 1)
    )


@pytest.mark.parametrize("face", ["dbapi", "sqlalchemy"])
def test_retry_raises_what_is_not_retryable_at_once(face: str, db: Broker) -> None:
    calls = []

    def fail(lent: Connection | Session) -> None:
        calls.append(lent)
        raise KeyError("the caller's own")

    def divide(lent: Connection | Session) -> None:
        calls.append(lent)
        if isinstance(lent, Connection):
            lent.cursor().execute("select 1/0")
        else:
            lent.execute(sa.text("select 1/0"))

    opened = partial(begin, db) if face == "dbapi" else sessionmaker(create_engine(db)).begin
    with pytest.raises(KeyError):
        db.retry(fail, begin=opened)
    with pytest.raises(sa.exc.DBAPIError if face == "sqlalchemy" else StatementError):
        db.retry(divide, begin=opened)
    assert len(calls) == 2
    assert count(db) == 1


def test_begin_commits_on_leaving_and_rolls_back_on_an_exception(db: Broker) -> None:
    with begin(db) as connection:
        insert_by_dbapi(connection)
    assert count(db) == 2
    with pytest.raises(KeyError), begin(db) as connection:
        insert_by_dbapi(connection)
        raise KeyError
    assert count(db) == 2


def test_retry_s_begin_says_for_itself_how_it_begins(db: Broker) -> None:
    with pytest.raises(UsageError, match="begin"):
        db.retry(insert_by_dbapi, begin=partial(begin, db), read_only=True)  # type: ignore[call-overload]


UNSEALED = "set transaction read write; insert into t values (9)"


@pytest.fixture
def proxied(relay: Relay, db: Broker, database: Database) -> Iterator[Broker]:
    """Under rds-proxy no companion is a query before the first statement: it may be a SET."""
    db.close()
    with Broker(database.settings(port=relay.port, flavour=Flavour.RDS_PROXY)) as made:
        made.read("select 1")
        yield made


def test_a_script_that_makes_itself_a_writer_is_kept_once(
    proxied: Broker, relay: Relay, database: Database
) -> None:
    connection = connect(proxied)
    connection.autocommit = connection.read_only = True
    connection.cursor().execute(UNSEALED)
    assert found(database) == 2
    thread = cut_the_next_answer(relay)  # COMMIT does not ride with it, so nothing was kept
    connection.cursor().execute(UNSEALED)
    thread.join()
    assert found(database) == 3


def test_a_transaction_that_makes_itself_a_writer_is_looked_up_as_any_other(
    proxied: Broker, relay: Relay, database: Database
) -> None:
    with proxied.transaction(read_only=True) as tx:
        tx.run("set transaction read write")
        tx.run("insert into t values (:k)", k=10)
        thread = cut_the_next_answer(relay)
    thread.join()
    assert found(database) == 2
    assert proxied.stats().commits_looked_up == 1


def test_an_attempt_that_has_committed_something_is_not_run_again(db: Broker, relay: Relay) -> None:
    calls: list[int] = []

    def pay(connection: Connection) -> None:
        calls.append(insert_by_dbapi(connection))
        connection.commit()
        thread = cut_the_next_answer(relay)
        threads.append(thread)
        connection.cursor().execute("select 1")

    threads: list[threading.Thread] = []
    with pytest.raises(ConnectionLost):
        db.retry(pay, begin=partial(begin, db))
    threads[0].join()
    assert (len(calls), count(db)) == (1, 2)


def test_what_would_not_be_part_of_the_attempt_is_refused(db: Broker) -> None:
    """In autocommit it would be kept, and run again."""
    engine = create_engine(db)
    alone = sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT")).begin

    def by_itself(connection: Connection) -> None:
        connection.autocommit = True
        insert_by_dbapi(connection)

    with pytest.raises(UsageError, match="no autocommit"):
        db.retry(by_itself, begin=partial(begin, db))
    with pytest.raises(sa.exc.DBAPIError, match="no autocommit"):
        db.retry(insert_by_orm, begin=alone)
    with pytest.raises(NestedTransaction):
        db.retry(lambda _: db.read("select 1"), begin=partial(begin, db))
    with pytest.raises(NestedTransaction):
        db.retry(lambda _: None, begin=db.session)
    assert count(db) == 1


def test_all_attempts_of_another_face_have_one_deadline(
    relay: Relay, db: Broker, database: Database
) -> None:
    calls: list[Connection] = []
    with Broker(database.settings(port=relay.port, timeout_s=1)) as quick:

        def conflict(connection: Connection) -> None:
            calls.append(connection)
            connection.cursor().execute("select pg_sleep(0.3)")
            raise SerializationFailure("could not serialize", sqlstate="40001")

        with pytest.raises((DeadlineExceeded, SerializationFailure)):
            quick.retry(conflict, begin=partial(begin, quick), attempts=50)
        assert 1 < len(calls) < 5


def test_a_connection_that_its_user_has_closed_hides_no_error(db: Broker) -> None:
    with pytest.raises(KeyError), begin(db) as connection:
        connection.close()
        raise KeyError
