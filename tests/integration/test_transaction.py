"""Transactions: what was acknowledged is there, what was not is not, and nothing stays open."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from broker import (
    Broker,
    BrokerError,
    ConnectionLost,
    IntegrityError,
    NestedTransaction,
    OutcomeUnknown,
    ParameterError,
    SerializationFailure,
    StatementError,
    TransactionAborted,
    TransactionEnded,
    UnsafeStatement,
    UsageError,
)
from broker.local.pgbouncer import PgBouncer
from broker.reuse import Reason
from broker.settings import Flavour
from tests.conftest import Database

Brokers = Callable[..., Broker]


@pytest.fixture(params=["direct", "pgbouncer"])
def db(
    request: pytest.FixtureRequest, broker_to: Brokers, pgbouncer: Callable[..., PgBouncer]
) -> Broker:
    made = broker_to(pgbouncer() if request.param == "pgbouncer" else None, fresh_s=0.0)
    made.run("create table t (k int primary key, v text)")
    return made


def rows(db: Broker) -> list[list[object]]:
    return list(db.run("select k, v from t order by k"))


def test_it_commits_on_leaving(db: Broker) -> None:
    with db.transaction() as tx:
        tx.run("insert into t values (:k, :v)", k=1, v="one")
        assert (
            tx.run_many(
                "insert into t values (:k, :v)", [{"k": 2, "v": "two"}, {"k": 3, "v": None}]
            ).row_count
            == 2
        )
    assert rows(db) == [[1, "one"], [2, "two"], [3, None]]


def test_it_rolls_back_on_an_exception_and_lets_it_through(db: Broker) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.run("insert into t values (1, 'one')")
        1 / 0  # noqa: B018
    assert rows(db) == []
    assert db.stats().opened == 1


def test_one_that_runs_nothing_sends_nothing(broker_to: Brokers, database: Database) -> None:
    with broker_to().transaction():
        pass
    assert database.backends() == 0


def test_a_failed_statement_rolls_all_of_it_back(db: Broker) -> None:
    with pytest.raises(IntegrityError) as raised, db.transaction() as tx:
        tx.run("insert into t values (1, 'one')")
        tx.run("insert into t values (1, 'again')")
    assert raised.value.sqlstate == "23505"
    assert raised.value.detail == "Key (k)=(1) already exists."
    assert rows(db) == []


def test_a_failure_swallowed_inside_is_not_taken_for_a_commit(db: Broker) -> None:
    with pytest.raises(TransactionAborted), db.transaction() as tx:
        tx.run("insert into t values (1, 'one')")
        with pytest.raises(StatementError):
            tx.run("select 1/0")
    assert rows(db) == []


def test_the_very_first_statement_may_fail(db: Broker) -> None:
    with pytest.raises(StatementError), db.transaction() as tx:
        tx.run("select nonsense")
    with pytest.raises(TransactionAborted), db.transaction() as tx:
        with pytest.raises(StatementError):
            tx.run("select nonsense")
    assert db.run("select 1").scalar() == 1
    assert db.stats().opened == 1


def test_a_savepoint_guards_a_statement_that_may_fail(db: Broker) -> None:
    with db.transaction() as tx:
        tx.run("savepoint before")
        with pytest.raises(StatementError):
            tx.run("select 1/0")
        tx.run("rollback to savepoint before")
        tx.run("insert into t values (1, 'one')")
    assert rows(db) == [[1, "one"]]


def test_a_constraint_checked_at_commit_is_an_error(db: Broker) -> None:
    db.run("create table child (k int references t deferrable initially deferred)")
    with pytest.raises(IntegrityError), db.transaction() as tx:
        tx.run("insert into child values (1)")
    assert db.run("select count(*) from child").scalar() == 0


def test_isolation_and_read_only_are_asked_for(db: Broker) -> None:
    with db.transaction(isolation="repeatable read", read_only=True) as tx:
        assert tx.run("show transaction_isolation").scalar() == "repeatable read"
        assert tx.run("show transaction_read_only").scalar() == "on"
    with pytest.raises(UsageError, match="serializable"), db.transaction(isolation="high"):
        pass


def test_a_batch_larger_than_every_buffer_goes_and_comes_back(db: Broker) -> None:
    """Both sides' socket buffers overflow: neither may wait for the other to read."""
    padding = "x" * 2000
    with db.transaction() as tx:
        result = tx.run_many(
            "insert into t values (:k, :v) returning k, v",
            ({"k": k, "v": padding} for k in range(20_000)),
        )
    assert result.row_count == len(result) == 20_000
    assert result[-1] == [19_999, padding]
    assert db.run("select count(*), sum(length(v)) from t").one() == [20_000, 40_000_000]


def test_a_batch_with_a_bad_row_keeps_none_of_it(db: Broker) -> None:
    with pytest.raises(IntegrityError), db.transaction() as tx:
        tx.run_many("insert into t values (:k, 'v')", [{"k": n} for n in (1, 2, 2, 3)])
    assert rows(db) == []


def test_an_empty_batch_sends_nothing(db: Broker) -> None:
    with db.transaction() as tx:
        assert tx.run_many("insert into t values (:k, 'v')", []).row_count == 0


def test_a_wrong_parameter_sends_nothing_and_ends_nothing(db: Broker) -> None:
    class Unsendable:
        def __str__(self) -> str:
            raise RuntimeError("no text for this")

    with db.transaction() as tx:
        with pytest.raises(ParameterError, match="did you mean value="):
            tx.run("insert into t values (1, :value)", vlaue="one")
        with pytest.raises(ParameterError, match="PostgreSQL has no type for a"):
            tx.run("insert into t values (1, :v)", v=Unsendable())
        tx.run("insert into t values (1, :v)", v="one")
    assert rows(db) == [[1, "one"]]


def test_it_ends_with_its_block(db: Broker) -> None:
    with db.transaction() as tx:
        tx.run("select 1")
    for use in (lambda: tx.run("select 1"), lambda: tx.run_many("select 1", [])):
        with pytest.raises(TransactionEnded):
            use()


def test_another_inside_it_is_refused_and_it_goes_on(db: Broker) -> None:
    with db.transaction() as tx:
        tx.run("insert into t values (1, 'one')")
        with pytest.raises(NestedTransaction), db.transaction():
            pass
        with pytest.raises(NestedTransaction, match=r"tx\.run"):
            db.run("select 1")
        with pytest.raises(NestedTransaction), db.session():
            pass
    assert rows(db) == [[1, "one"]]


def test_control_and_copy_are_refused_and_the_session_stays(db: Broker) -> None:
    for sql in ("begin", " /* x */ Commit", "rollback", "end"):
        with pytest.raises(UnsafeStatement, match=r"db\.transaction\(\)"):
            db.run(sql)
    with pytest.raises(UnsafeStatement, match=r"db\.session\(\)"):
        db.run("copy t from stdin")
    with db.transaction() as tx:
        with pytest.raises(UnsafeStatement):
            tx.run("commit")
        tx.run("insert into t values (1, 'one')")
    db.run("vacuum t")
    assert rows(db) == [[1, "one"]]
    assert db.stats().opened == 1


def test_what_cannot_run_in_a_transaction_is_refused_by_the_server_as_itself(db: Broker) -> None:
    with pytest.raises(StatementError, match="VACUUM") as raised, db.transaction() as tx:
        tx.run("vacuum t")
    assert raised.value.sqlstate == "25001"
    with db.transaction() as tx:
        tx.run("do $$ begin insert into t values (1, 'one'); end $$")
    assert rows(db) == [[1, "one"]]


@pytest.mark.parametrize(
    "sql", ["lock table t in exclusive mode", "declare c cursor for select 1", "savepoint s"]
)
def test_what_needs_a_transaction_is_refused_without_one_whatever_goes_along(
    db: Broker, sql: str
) -> None:
    """Sent behind the deadline, it would be accepted, and do nothing."""
    with pytest.raises(StatementError, match="can only be used in transaction blocks"):
        db.run(sql)
    with db.transaction() as tx:
        tx.run(sql)


def test_a_transaction_may_begin_with_another_ones_snapshot(db: Broker, database: Database) -> None:
    """SET TRANSACTION SNAPSHOT must come before any query, the one with the deadline included."""
    other = database.connect()
    other.run("begin isolation level repeatable read")
    [[snapshot]] = other.run("select pg_export_snapshot()")
    db.run("insert into t values (1, 'later')")
    with db.transaction(isolation="repeatable read") as tx:
        tx.run(f"set transaction snapshot '{snapshot}'")
        assert tx.run("select count(*) from t").scalar() == 0
    with db.transaction() as tx:
        tx.run("set transaction isolation level serializable")
        assert tx.run("show transaction_isolation").scalar() == "serializable"
    other.close()


def test_a_savepoint_is_reached_though_the_deadline_has_come_nearer_since(db: Broker) -> None:
    """A lower statement_timeout cannot be set in a transaction that has failed."""
    with db.transaction() as tx:
        tx.run("savepoint before")
        with pytest.raises(StatementError):
            tx.run("select pg_sleep(1.2)::text::int")
        tx.run("rollback to before")
        tx.run("insert into t values (1, 'one')")
    assert rows(db) == [[1, "one"]]


def test_a_copy_that_slips_through_does_not_hang_the_session(db: Broker) -> None:
    with pytest.raises(StatementError):
        db.run("do $$ begin execute 'copy t from stdin'; end $$")
    with db.session() as session, pytest.raises(Exception, match="no stream"):
        session.run("copy t from stdin")
    assert db.run("select 1").scalar() == 1


def test_retry_runs_the_function_again_after_a_serialization_failure(db: Broker) -> None:
    db.run("insert into t values (1, '0')")
    other = Broker(db.settings)
    seen: list[str] = []

    def increment(tx):
        value = tx.run("select v from t where k = 1").scalar()
        seen.append(value)
        if len(seen) == 1:
            other.run("update t set v = '10' where k = 1")
        tx.run("update t set v = :v where k = 1", v=str(int(value) + 1))
        return value

    assert db.retry(increment, isolation="repeatable read") == "10"
    other.close()
    assert seen == ["0", "10"]
    assert rows(db) == [[1, "11"]]
    assert db.stats().transaction_retries == 1


def test_retry_gives_up_after_its_attempts_with_the_last_error(db: Broker) -> None:
    tries: list[int] = []

    def conflict(tx):
        tries.append(1)
        tx.run("select k from t")
        raise SerializationFailure("could not serialize", sqlstate="40001")

    with pytest.raises(SerializationFailure):
        db.retry(conflict, attempts=3)
    assert len(tries) == 3
    with pytest.raises(UsageError):
        db.retry(conflict, attempts=0)


def test_a_session_killed_inside_it_is_lost_and_retry_runs_it_again(
    db: Broker, database: Database
) -> None:
    tries: list[int] = []

    def write(tx):
        tx.run("insert into t values (1, 'one')")
        tries.append(1)
        if len(tries) == 1:
            database.kill_backends()
        tx.run("insert into t values (2, 'two')")

    db.retry(write)
    assert rows(db) == [[1, "one"], [2, "two"]]
    tries.clear()
    db.run("delete from t")
    with pytest.raises(ConnectionLost), db.transaction() as tx:
        write(tx)
    assert rows(db) == []


def test_a_lent_session_is_as_pg8000_documents_it_and_comes_back_clean(db: Broker) -> None:
    with db.session() as session:
        session.run("copy t from stdin", stream=io.StringIO("1\tone\n2\ttwo\n"))
        out = io.StringIO()
        session.run("copy t to stdout", stream=out)
        assert out.getvalue() == "1\tone\n2\ttwo\n"
        assert session.run("select k from t where v = :v", v="two") == [[2]]
        assert session.columns[0]["name"] == "k"
        session.run("begin")
        session.run("declare c cursor for select k from t order by k")
        assert session.run("fetch 1 from c") == [[1]]
        session.run("insert into t values (3, 'left open')")
        session.run("rollback")
        if db.settings.flavour is Flavour.DIRECT:  # behind a pooler a SET stays with the pooler
            session.run("set search_path = nowhere")
        session.register_in_adapter(25, lambda _: "changed")
    with pytest.raises(TransactionEnded):
        session.run("select 1")
    assert rows(db) == [[1, "one"], [2, "two"]]
    assert "nowhere" not in db.run("show search_path").scalar()


def test_a_lent_session_is_replaced_afterwards(db: Broker) -> None:
    with db.session() as session:
        session.run("select 1")
        run, prepared = session.run, session.prepare("select 1")
    db.run("select 1")
    assert db.stats().replaced == {Reason.EXCLUSIVE: 1}
    for use in (lambda: run("begin"), prepared.run, lambda: session.columns):
        with pytest.raises(TransactionEnded):
            use()


def test_what_a_lent_session_committed_is_never_said_to_be_undone(
    db: Broker, database: Database
) -> None:
    db.run("create procedure p() language sql as $$ insert into t values (1, 'x') $$")
    kill = "select pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(OutcomeUnknown), db.session() as session:
        session.run(f"insert into t values (1, 'x'); {kill}")
    with pytest.raises(ConnectionLost), db.session() as session:
        session.run("begin")
        session.run("insert into t values (2, 'x')")
        session.run(kill)
    assert [2, "x"] not in rows(db)


def test_nothing_else_is_asked_of_the_broker_while_a_session_is_lent(db: Broker) -> None:
    with db.session(), pytest.raises(NestedTransaction):
        db.run("select 1")
    with db.session(), pytest.raises(NestedTransaction), db.transaction():
        pass


def test_a_statement_that_is_no_text_is_refused_as_ours(db: Broker) -> None:
    with pytest.raises(UsageError, match="str"):
        db.run(None)  # type: ignore[arg-type]


def test_a_thread_that_still_uses_a_transaction_at_its_end_commits_nothing(db: Broker) -> None:
    lost: list[Exception] = []

    def sleep(tx) -> None:
        try:
            tx.run("select pg_sleep(30)")
        except BrokerError as error:
            lost.append(error)

    with pytest.raises(UsageError, match="another thread"), db.transaction() as tx:
        tx.run("insert into t values (1, 'x')")
        thread = threading.Thread(target=sleep, args=(tx,))
        thread.start()
        while not tx._busy.locked():
            pass
        session = tx._session
        assert session is not None
        while not session.in_flight:
            pass
    thread.join(30)
    assert isinstance(lost[0], ConnectionLost)
    assert rows(db) == []


def test_a_role_that_is_read_only_is_no_reason_to_leave_the_server(
    db: Broker, database: Database
) -> None:
    role = database.user
    database.server.admin(f"alter role {role} set default_transaction_read_only = on")
    database.kill_backends()
    with pytest.raises(StatementError) as raised:
        db.run("insert into t values (1, 'x')")
    assert raised.value.sqlstate == "25006"
    database.server.admin(f"alter role {role} reset default_transaction_read_only")
    database.kill_backends()
    db.run("insert into t values (1, 'x')")
    assert Reason.READ_ONLY not in db.stats().replaced


def test_one_transaction_in_two_threads_at_once_is_refused(db: Broker) -> None:
    errors: list[Exception] = []

    def intrude(tx) -> None:
        try:
            tx.run("select 1")
        except UsageError as error:
            errors.append(error)

    with db.transaction() as tx:
        tx.run("select 1")
        sleeper = threading.Thread(target=lambda: tx.run("select pg_sleep(1)"))
        session = tx._session
        assert session is not None
        sleeper.start()
        while not session.in_flight:
            pass
        intrude(tx)
        sleeper.join(30)
    assert "another thread" in str(errors[0])
