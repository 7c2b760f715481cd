"""One answer fills no more memory than it may: what is larger is stopped, and said."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import sqlalchemy

from broker import Broker, OutcomeUnknown, ResultTooLarge, dbapi
from broker.local.pgbouncer import PgBouncer
from broker.reuse import Reason
from broker.sqlalchemy import create_engine
from tests.conftest import Database
from tests.wait import wait_until

LIMIT_MB = 1
TOO_MUCH = "select repeat('x', 1000) from generate_series(1, 1000000)"  # about 1 GB
ENOUGH = "select repeat('x', 1000) from generate_series(1, 900)"
WRITES = "insert into kept select generate_series(1, 1000000) returning repeat('x', 1000)"
RUNNING = "select count(*) from pg_stat_activity where usename = :role and state = 'active'"


@pytest.fixture(params=["direct", "pgbouncer"])
def db(
    request: pytest.FixtureRequest,
    broker_to: Callable[..., Broker],
    pgbouncer: Callable[..., PgBouncer],
) -> Broker:
    pooler = pgbouncer() if request.param == "pgbouncer" else None
    made = broker_to(pooler, max_result_mb=LIMIT_MB)
    made.run("create table kept (n int)")
    return made


def nothing_runs(database: Database) -> None:
    wait_until(
        lambda: database.server.admin(RUNNING, role=database.user) == [[0]],
        "the server to stop the statement",
    )


def test_it_is_stopped_on_the_server_and_the_next_statement_runs(
    db: Broker, database: Database
) -> None:
    with pytest.raises(ResultTooLarge, match=r"over 1 MB came.*BROKER_MAX_RESULT_MB"):
        db.run(TOO_MUCH)
    nothing_runs(database)
    assert db.stats().replaced[Reason.INTERRUPTED] == 1
    assert len(db.run(ENOUGH)) == 900


def test_a_write_that_stood_alone_is_of_unknown_outcome(db: Broker, database: Database) -> None:
    with pytest.raises(OutcomeUnknown, match="over 1 MB came"):
        db.run(WRITES)
    nothing_runs(database)


def test_the_transaction_that_it_was_part_of_is_rolled_back(db: Broker, database: Database) -> None:
    with pytest.raises(ResultTooLarge), db.transaction() as tx:
        tx.run("insert into kept values (1)")
        tx.run(WRITES)
    nothing_runs(database)
    assert db.run("select count(*) from kept").scalar() == 0


def test_what_goes_to_a_stream_may_be_larger(db: Broker) -> None:
    sink = io.BytesIO()
    with db.session() as session:
        session.run(f"copy ({ENOUGH.replace('900', '5000')}) to stdout", stream=sink)
    assert len(sink.getvalue()) == 5000 * 1001


def test_the_faces_above_say_it_too_and_take_another_session(db: Broker) -> None:
    connection = dbapi.connect(db)
    cursor = connection.cursor()
    with pytest.raises(dbapi.OperationalError) as raised:
        cursor.execute(TOO_MUCH)
    assert isinstance(raised.value, ResultTooLarge)
    connection.rollback()
    cursor.execute(ENOUGH)
    assert len(cursor.fetchall()) == 900
    connection.close()

    engine = create_engine(db)
    with engine.connect() as lost, pytest.raises(sqlalchemy.exc.DBAPIError) as wrapped:
        lost.execute(sqlalchemy.text(TOO_MUCH))
    assert wrapped.value.connection_invalidated
    with engine.connect() as other:
        assert len(other.execute(sqlalchemy.text(ENOUGH)).all()) == 900
