"""The DB-API keeps the broker's promises: flights, the session's return, outcomes, the guard."""

from __future__ import annotations

import gc
import io
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import pg8000.dbapi
import pytest

import broker
from broker import Broker, dbapi
from broker.local.pgbouncer import PgBouncer
from broker.local.postgres import Postgres
from broker.local.relay import Relay
from broker.local.relayed import Way
from broker.settings import Flavour
from tests.conftest import Database
from tests.wait import wait_until

Count = Callable[[Callable[[], object]], int]


@pytest.fixture
def db(relay: Relay, database: Database, request: pytest.FixtureRequest) -> Iterator[Broker]:
    flavour = Flavour.PGBOUNCER if "pgbouncer" in request.node.name else Flavour.DIRECT
    changes: dict[str, Any] = {"flavour": flavour, "timeout_s": 20, "fresh_s": 0.0}  # it looks
    with Broker(database.settings(port=relay.port, **changes)) as made:
        made.run("create table t (k int, v text)")  # connects, and learns the role's bound
        yield made


@pytest.fixture
def connection(db: Broker) -> Iterator[dbapi.Connection]:
    made = dbapi.connect(db)
    yield made
    made.rollback()


@pytest.fixture
def flights(relay: Relay) -> Count:
    def count(do: Callable[[], object]) -> int:
        before = relay.flights
        do()
        return relay.flights - before

    return count


def found(database: Database) -> int:
    return int(database.server.admin("select count(*) from t", database=database.name)[0][0])


def fetched(connection: dbapi.Connection, sql: str, args: Any = ()) -> Any:
    cursor = connection.cursor()
    cursor.execute(sql, args)
    return cursor.fetchall()


# Flights


def write_and_commit(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("insert into t values (%s, %s)", (1, "x"))
    connection.commit()


def test_a_statement_and_its_commit_are_two_flights_where_pg8000_takes_seven(
    connection: dbapi.Connection, database: Database, relay: Relay, flights: Count
) -> None:
    plain = pg8000.dbapi.connect(
        database.user,
        host=relay.host,
        port=relay.port,
        password=database.password,
        database=database.name,
        ssl_context=False,
    )
    assert flights(lambda: write_and_commit(plain)) == 7
    assert flights(lambda: write_and_commit(connection)) == 2
    plain.close()
    assert found(database) == 2


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_executemany_is_one_flight(
    rows: int, connection: dbapi.Connection, flights: Count, database: Database
) -> None:
    cursor = connection.cursor()
    many = [(k, f"v{k}") for k in range(rows)]
    sql = "insert into t values (%s, %s)"
    assert flights(lambda: cursor.executemany(sql, many)) == 1
    assert cursor.rowcount == rows
    assert flights(connection.commit) == 1
    assert found(database) == rows


def test_what_sends_nothing_is_no_flight(connection: dbapi.Connection, flights: Count) -> None:
    def nothing() -> None:
        connection.commit()
        connection.rollback()
        connection.cursor().execute("begin isolation level serializable")
        connection.cursor().execute("set transaction read only")
        connection.cursor().execute("commit")
        connection.cursor().executemany("insert into t values (%s)", [])

    assert flights(nothing) == 0


def test_in_autocommit_a_statement_is_one_flight(
    connection: dbapi.Connection, flights: Count, database: Database
) -> None:
    connection.autocommit = True
    cursor = connection.cursor()
    assert flights(lambda: cursor.execute("insert into t values (%s, 'x')", (1,))) == 1
    assert flights(lambda: cursor.executemany("insert into t values (%s)", [(2,), (3,)])) == 1
    assert flights(lambda: cursor.execute("vacuum t")) == 1
    assert found(database) == 3


def test_a_script_is_one_flight(connection: dbapi.Connection, flights: Count) -> None:
    script = """
        create table a (n int);  -- a comment; with a semicolon
        create rule r as on insert to a do also (select 1; select 2);
        insert into a values (1); select ';', n from a;
    """
    cursor = connection.cursor()
    assert flights(lambda: cursor.execute(script)) == 1
    assert cursor.fetchall()[-1] == [";", 1]
    connection.rollback()


def test_the_words_begin_atomic_keep_a_script_together_in_a_functions_body_alone(
    connection: dbapi.Connection,
) -> None:
    connection.autocommit = True
    for script, rows in (
        ("-- begin atomic deploy\nselect 1; select 2", ([1], [2])),
        ("select 'begin atomic'; select 2", (["begin atomic"], [2])),
        (
            "create or replace function f() returns int begin atomic "
            "select case when true then 1 end; end; select f()",
            ([1],),
        ),
    ):
        assert fetched(connection, script) == rows


def test_a_text_that_begins_no_transaction_gives_its_statements_one(
    connection: dbapi.Connection, database: Database
) -> None:
    """As every driver of the simple protocol has it: several statements are in one block."""
    connection.autocommit = True
    connection.cursor().execute("insert into t values (1); lock table t")
    assert found(database) == 1
    with pytest.raises(dbapi.Error, match="can only be used in transaction blocks"):
        connection.cursor().execute("lock table t")


# The session's way


def test_a_connection_has_a_session_only_within_a_transaction(
    db: Broker, connection: dbapi.Connection
) -> None:
    cursor = connection.cursor()
    assert db.stats().sessions_idle == 1
    cursor.execute("insert into t values (1)")
    assert db.stats().sessions_idle == 0
    connection.commit()
    assert db.stats().sessions_idle == 1
    cursor.execute("select 1")
    connection.rollback()
    assert db.stats().sessions_idle == 1
    assert cursor.fetchall() == ([1],)  # the rows are here, and stay
    cursor.execute("select 1")
    connection.close()
    assert db.stats().sessions_idle == 1
    with pytest.raises(dbapi.InterfaceError, match="connection is closed"):
        cursor.execute("select 1")
    connection.__init__(db)  # type: ignore[misc]  # for the fixture's end


def test_after_a_failure_the_transaction_is_over_and_the_session_is_kept(
    db: Broker, connection: dbapi.Connection, database: Database
) -> None:
    cursor = connection.cursor()
    cursor.execute("insert into t values (1)")
    with pytest.raises(dbapi.DataError):
        cursor.execute("select 1/%s", (0,))
    with pytest.raises(dbapi.InternalError):  # 25P02
        cursor.execute("select 1")
    with pytest.raises(dbapi.InternalError, match="nothing was committed"):
        connection.commit()
    cursor.execute("select 1")
    assert found(database) == 0
    assert db.stats().opened == 1


def test_what_an_invocation_leaves_open_is_reported_with_its_place_and_begun_anew(
    db: Broker, connection: dbapi.Connection, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(event: Any, context: Any) -> None:
        connection.cursor().execute("insert into t values (1)")

    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 5000, aws_request_id="r")
    invoke = db.handler(handler)
    invoke({}, context)
    assert f"{__file__}:" in caplog.text
    assert not connection.in_transaction
    invoke({}, context)
    with pytest.raises(dbapi.OperationalError, match="lost its session"):
        connection.commit()  # of what was rolled back
    assert found(database) == 0
    connection.cursor().execute("insert into t values (1)")
    connection.commit()
    assert found(database) == 1


def test_a_connection_keeps_its_broker(database: Database) -> None:
    """The broker is what tells a forked child that the session is its parent's."""
    made = Broker(database.settings())
    seen, connection = weakref.ref(made), dbapi.connect(made)
    del made
    gc.collect()
    assert seen() is not None
    connection.close()


def test_each_statement_carries_the_invocations_name(
    db: Broker, connection: dbapi.Connection
) -> None:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 5000, aws_request_id="r-1")

    def handler(event: Any, context: Any) -> Any:
        try:
            return fetched(
                connection, "select query from pg_stat_activity where pid = pg_backend_pid()"
            )
        finally:
            connection.rollback()

    assert "/*request_id='r-1'*/" in db.handler(handler)({}, context)[0][0]


# Deadline, outcome, guard


def test_the_deadline_bounds_a_statement_on_the_server(
    database: Database, broker_to: Callable[..., Broker]
) -> None:
    connection = dbapi.connect(broker_to(timeout_s=0.4))
    with pytest.raises(dbapi.OperationalError) as caught:
        connection.cursor().execute("select pg_sleep(%s)", (10,))
    assert isinstance(caught.value, broker.DeadlineExceeded)
    assert caught.value.sqlstate == "57014"
    connection.close()


def test_a_lost_answer_to_commit_is_looked_up(
    db: Broker, connection: dbapi.Connection, relay: Relay, database: Database
) -> None:
    cursor = connection.cursor()
    cursor.execute("copy t (k) from stdin", stream=io.BytesIO(b"1\n"))
    [relayed] = relay.connections
    relayed.pause(Way.TO_CLIENT)

    def cut() -> None:
        wait_until(lambda: found(database) == 1, "the commit")
        relayed.reset()

    thread = threading.Thread(target=cut)
    thread.start()
    connection.commit()
    thread.join()
    assert db.stats().commits_looked_up == 1
    assert db.stats().outcomes_unknown == 0


def test_a_lost_answer_in_autocommit_is_unknown_and_not_sent_again(
    connection: dbapi.Connection, relay: Relay, database: Database
) -> None:
    connection.autocommit = True
    [relayed] = relay.connections
    relayed.pause(Way.TO_CLIENT)

    def cut() -> None:
        wait_until(lambda: found(database) == 1, "the row")
        relayed.reset()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(dbapi.OperationalError) as caught:
        connection.cursor().execute("insert into t values (%s)", (1,))
    thread.join()
    assert isinstance(caught.value, broker.OutcomeUnknown)
    assert found(database) == 1


def test_a_session_that_ended_in_the_middle_loses_the_transaction_and_not_the_connection(
    connection: dbapi.Connection, database: Database
) -> None:
    cursor = connection.cursor()
    cursor.execute("insert into t values (1)")
    database.kill_backends()
    for _ in range(2):
        with pytest.raises(dbapi.OperationalError) as caught:
            cursor.execute("insert into t values (2)")
        assert isinstance(caught.value, broker.ConnectionLost)
    connection.rollback()
    cursor.execute("insert into t values (3)")
    connection.commit()
    assert found(database) == 1


def test_a_session_that_ended_while_idle_is_not_noticed(
    connection: dbapi.Connection, database: Database
) -> None:
    write_and_commit(connection)
    database.kill_backends()
    write_and_commit(connection)
    assert found(database) == 2


def test_the_guard_stands_behind_poolers(
    database: Database, broker_to: Callable[..., Broker], pgbouncer: Callable[..., PgBouncer]
) -> None:
    cursor = dbapi.connect(broker_to(pgbouncer())).cursor()
    for sql in ("set search_path = x", "select 1; listen x", "create temp table x (n int)"):
        with pytest.raises(dbapi.NotSupportedError) as caught:
            cursor.execute(sql)
        assert isinstance(caught.value, broker.PoolingHazard)
    with pytest.raises(broker.PoolingHazard):
        cursor.execute("select pg_advisory_lock(%s)", (1,))
    assert not cursor.connection.in_transaction


# Control by text, modes


def test_code_that_begins_and_ends_transactions_by_text_works(
    connection: dbapi.Connection, database: Database
) -> None:
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("begin isolation level serializable")
    cursor.execute("set transaction read only")
    assert fetched(connection, "show transaction_isolation") == (["serializable"],)
    assert fetched(connection, "show transaction_read_only") == (["on"],)
    cursor.execute("rollback")
    cursor.execute(
        "begin; insert into t values (1); savepoint s; insert into t values (2);"
        "rollback to savepoint s; commit"
    )
    assert found(database) == 1
    assert not connection.in_transaction
    with pytest.raises(dbapi.NotSupportedError, match="begin again"):
        cursor.execute("commit and chain")


def test_the_modes_of_a_connection_are_those_of_its_transactions(
    connection: dbapi.Connection,
) -> None:
    connection.isolation_level = "repeatable read"
    connection.read_only = connection.deferrable = True
    shown = [
        f"current_setting('transaction_{mode}')"
        for mode in ("isolation", "read_only", "deferrable")
    ]
    assert fetched(connection, f"select {', '.join(shown)}") == (["repeatable read", "on", "on"],)
    connection.rollback()
    connection.isolation_level = "none such"
    with pytest.raises(dbapi.ProgrammingError, match="none such"):
        fetched(connection, "select 1")


# COPY, notices, adapters, types


def test_copy_in_and_out(connection: dbapi.Connection, flights: Count, database: Database) -> None:
    cursor = connection.cursor()
    rows = [b"1\ta\n", b"2\tb\n"]
    assert flights(lambda: cursor.execute("copy t from stdin", stream=iter(rows))) == 3
    assert cursor.rowcount == 2
    out = io.StringIO()
    assert flights(lambda: cursor.execute("copy t to stdout with (format csv)", stream=out)) == 1
    assert out.getvalue() == "1,a\n2,b\n"
    connection.commit()
    connection.autocommit = True
    cursor.execute("COPY t FROM STDIN", stream=io.StringIO("3\tc\n"))
    assert found(database) == 3


def test_copy_without_a_stream_fails_and_the_connection_goes_on(
    connection: dbapi.Connection,
) -> None:
    for sql in ("copy t from stdin", "copy t from stdout", "select 1; copy t from stdin"):
        with pytest.raises(dbapi.OperationalError, match="no stream was given"):
            connection.cursor().execute(sql)
        connection.rollback()
        assert fetched(connection, "select 1") == ([1],)


def test_a_copy_that_breaks_off_is_never_sent_again(
    connection: dbapi.Connection, relay: Relay, database: Database
) -> None:
    """Part of the stream is gone: the rest alone would be other data."""

    def stream() -> Iterator[bytes]:
        yield b"1\ta\n"
        for relayed in relay.connections:
            relayed.reset()
        for k in range(1000):
            yield b"%d\tb\n" % k * 100

    with pytest.raises(dbapi.OperationalError) as caught:
        connection.cursor().execute("copy t from stdin", stream=stream())
    assert isinstance(caught.value, broker.ConnectionLost)
    connection.rollback()
    assert found(database) == 0


def test_notices_come_to_the_connection_whose_statement_caused_them(
    db: Broker, connection: dbapi.Connection
) -> None:
    other = dbapi.connect(db)
    db.run("do $$ begin raise notice 'not mine'; end $$")
    connection.cursor().execute("do $$ begin raise notice 'mine'; end $$")
    connection.commit()
    assert [notice[b"M"] for notice in connection.notices] == [b"mine"]
    assert not other.notices


def test_adapters_are_the_connections_own(db: Broker, connection: dbapi.Connection) -> None:
    class Colour:
        pass

    connection.cursor().execute("select 1")  # a transaction is open already
    connection.register_out_adapter(Colour, lambda colour: "red")
    connection.register_in_adapter(23, lambda text: f"int {text}")
    assert fetched(connection, "select %s::text, 1", (Colour(),)) == (["red", "int 1"],)
    connection.commit()
    assert fetched(connection, "select 1") == (["int 1"],)
    connection.commit()
    assert db.run("select 1").scalar() == 1
    assert (
        fetched(dbapi.connect(db), "select 1") == ([1],) if db.settings.max_sessions > 1 else True
    )


def test_setinputsizes_types_the_parameters(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.setinputsizes(dbapi.DATE, dbapi.STRING)
    cursor.execute("select %s, pg_typeof(%s)::text", ("2026-07-01", "x"))
    assert cursor.fetchone() == [date(2026, 7, 1), "character varying"]
    with pytest.raises(dbapi.ProgrammingError, match="could not determine data type"):
        cursor.execute("select pg_typeof(%s)::text", ("x",))  # for one statement only


# Errors


def test_an_error_is_pep_249s_pg8000s_and_the_brokers(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.execute("create table u (n int primary key)")
    cursor.execute("insert into u values (1)")
    with pytest.raises(dbapi.IntegrityError) as caught:
        cursor.execute("insert into u values (%s)", (1,))
    error = caught.value
    assert isinstance(error, (pg8000.dbapi.DatabaseError, dbapi.Error))
    assert isinstance(error, broker.IntegrityError)
    assert (error.sqlstate, error.args[0]["C"], error.retryable) == ("23505", "23505", False)
    assert str(error).startswith("duplicate key value violates unique constraint")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))


@pytest.mark.parametrize(
    ("sql", "args", "kind"),
    [
        ("select 1 from nowhere", (), dbapi.ProgrammingError),
        ("select", (1,), dbapi.ProgrammingError),
        ("select %s", (1, 2), dbapi.ProgrammingError),
        ("select %s", {"a": 1}, dbapi.ProgrammingError),
        ("select %s", "abc", dbapi.ProgrammingError),
        ("select %(a)s", (1,), dbapi.ProgrammingError),
        ("select 'x'::int", (), dbapi.DataError),
        ("do $$ begin raise exception 'no'; end $$", (), dbapi.ProgrammingError),
        ("do $$ begin raise sqlstate '40001'; end $$", (), dbapi.OperationalError),
    ],
)
def test_each_error_is_of_pep_249s_class(
    sql: str, args: Any, kind: Any, connection: dbapi.Connection
) -> None:
    with pytest.raises(kind) as caught:
        connection.cursor().execute(sql, args)
    assert isinstance(caught.value, broker.BrokerError)


def test_no_server_is_an_operational_error(database: Database) -> None:
    with Relay(1) as nobody:
        port = nobody.port
    connection = dbapi.connect(Broker(database.settings(port=port, timeout_s=0.2)))
    with pytest.raises(dbapi.OperationalError) as caught:
        connection.cursor().execute("select 1")
    assert isinstance(caught.value, broker.ServerUnavailable)
    connection.rollback()


# Two-phase commit


def test_two_phase_commit(database: Database) -> None:
    with Postgres({"max_prepared_transactions": "5"}) as server:
        own = Database(server, "app", "app", "p")
        server.create_role(own.user, own.password)
        server.create_database(own.name, owner=own.user)
        with Broker(own.settings()) as db:
            db.run("create table t (k int)")
            connection = dbapi.connect(db)
            for number, commit in enumerate((True, False)):
                xid = connection.xid(0, f"it's {number}", "")
                connection.tpc_begin(xid)
                connection.cursor().execute("insert into t values (1)")
                with pytest.raises(dbapi.ProgrammingError, match="two-phase"):
                    connection.commit()
                connection.tpc_prepare()
                assert connection.tpc_recover() == [xid]
                assert db.stats().sessions_idle == 1
                (connection.tpc_commit if commit else connection.tpc_rollback)()
            connection.tpc_begin(connection.xid(0, "one phase", ""))
            connection.cursor().execute("insert into t values (2)")
            connection.tpc_commit()
            with pytest.raises(dbapi.ProgrammingError):
                connection.tpc_commit(connection.xid(0, "none such", ""))
            assert db.run("select array_agg(k) from t").scalar() == [1, 2]


def test_a_prepare_that_is_answered_too_late_is_unknown_and_not_denied() -> None:
    """The transaction is prepared by then, and holds its locks until somebody ends it."""
    with Postgres({"max_prepared_transactions": "5"}) as server:
        own = Database(server, "app", "app", "p")
        server.create_role(own.user, own.password)
        server.create_database(own.name, owner=own.user)
        flavour = Flavour.RDS_PROXY  # no deadline rides, so the server does not stop it
        with (
            Relay(server.port) as relay,
            Broker(own.settings(port=relay.port, flavour=flavour, timeout_s=5)) as db,
        ):
            db.run("create table t (k int)")
            connection = dbapi.connect(db)
            connection.tpc_begin(connection.xid(0, "mine", ""))
            connection.cursor().execute("insert into t values (1)")
            [relayed] = relay.connections
            relayed.pause(Way.TO_CLIENT)
            with pytest.raises(dbapi.OperationalError) as caught:
                connection.tpc_prepare()
            assert isinstance(caught.value, broker.OutcomeUnknownAtDeadline)
            wait_until(
                lambda: server.admin("select gid from pg_prepared_xacts") == [["mine"]],
                "the transaction to be prepared",
            )
