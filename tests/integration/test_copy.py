"""COPY sends and returns all its data, and no answer to it is the next statement's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker import Broker, StatementError, TransactionEnded, UnsafeStatement, dbapi
from broker.deadline import SYSTEM_CLOCK, Deadline
from broker.local.pgbouncer import PgBouncer
from broker.wire import Manner, Session, connect
from tests.conftest import Database

WITHIN_S = 60.0
COPY = b"copy t from stdin"


@pytest.fixture(params=["direct", "pgbouncer"])
def session(
    request: pytest.FixtureRequest, database: Database, pgbouncer: Callable[..., PgBouncer]
) -> Iterator[Session]:
    """Open a session whose database has a table of positive numbers."""
    wanted = database.settings(pgbouncer() if request.param == "pgbouncer" else None)
    opened = connect(wanted, database.password, None, Deadline.after(WITHIN_S), SYSTEM_CLOCK)
    opened.query(b"create table t (n int check (n > 0))", Deadline.after(WITHIN_S))
    yield opened
    opened.close()


def run(session: Session, text: bytes, stream: Any = None) -> Any:
    return session.execute(text, [()], Deadline.after(WITHIN_S), manner=Manner(stream=stream))


def with_trigger(session: Session, kind: str, body: str) -> None:
    """Let a trigger run before every statement or row."""
    session.query(
        f"create function f() returns trigger language plpgsql as $$ begin {body} end $$; "
        f"create trigger tr before insert on t for each {kind} execute function f()".encode(),
        Deadline.after(WITHIN_S),
    )


def answers_are_its_own(session: Session) -> None:
    for number in range(3):
        assert run(session, b"select %d" % number).rows == [[number]]
    assert session.clean


@pytest.mark.parametrize("lines", [0, 1, 100_000])
def test_a_copy_that_fails_before_it_reads_anything(session: Session, lines: int) -> None:
    with_trigger(session, "statement", "raise 'not today';")
    with pytest.raises(StatementError, match="not today"):
        run(session, COPY, io.BytesIO(b"1\n" * lines))

    answers_are_its_own(session)


def test_a_copy_without_a_stream_that_fails_before_it_reads_anything(session: Session) -> None:
    with_trigger(session, "statement", "raise 'not today';")
    with pytest.raises(StatementError, match="not today"):
        run(session, COPY)

    answers_are_its_own(session)


@pytest.mark.parametrize("simple", [True, False])
def test_a_copy_that_fails_in_the_middle_is_not_sent_to_its_end(
    session: Session, simple: bool
) -> None:
    class Endless:
        def read(self, size: int) -> bytes:
            return b"0\n" * (size // 2)

    with pytest.raises(StatementError) as raised:
        if simple:
            session.query(COPY, Deadline.after(WITHIN_S), Manner(stream=Endless()))
        else:
            run(session, COPY, Endless())
    assert raised.value.sqlstate == "23514"

    answers_are_its_own(session)


def test_a_notice_for_every_row_holds_up_no_copy(session: Session) -> None:
    """Neither waits for the other to read: the data, in small pieces, fill every buffer."""
    with_trigger(session, "row", "raise notice '%', repeat('x', 500); return new;")
    reply = run(session, COPY, (b"%0500d\n" % number for number in range(1, 50_001)))

    assert reply.row_count == 50_000
    answers_are_its_own(session)


def test_a_copy_goes_in_and_comes_out_as_it_was(session: Session) -> None:
    data = b"".join(b"%d\n" % number for number in range(1, 100_001))
    assert run(session, COPY, io.BytesIO(data)).row_count == 100_000
    out = io.BytesIO()
    run(session, b"copy (select n from t order by n) to stdout", out)

    assert out.getvalue() == data
    answers_are_its_own(session)


class Broken:
    """A stream of the caller's that fails, whichever way it is used."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"1\n"
        raise RuntimeError("the caller's own")

    def write(self, data: bytes) -> int:
        raise RuntimeError("the caller's own")


WRITES = "copy (insert into c values (7) returning n) to stdout"


@pytest.mark.parametrize("sql", ["copy c from stdin", WRITES, "copy c to stdout"])
@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("way", ["DB-API", "session"])
@pytest.mark.parametrize("through", ["direct", "pgbouncer"])
def test_what_a_stream_raises_is_raised_as_it_is_and_nothing_is_kept(
    sql: str,
    autocommit: bool,
    way: str,
    through: str,
    broker_to: Callable[..., Broker],
    pgbouncer: Callable[..., PgBouncer],
) -> None:
    db = broker_to(pgbouncer() if through == "pgbouncer" else None)
    db.run("create table c (n int)")
    db.run("insert into c values (1)")
    with pytest.raises(RuntimeError, match="the caller's own"):
        if way == "session":
            with db.session() as lent:
                if not autocommit:
                    lent.run("begin")
                lent.run(sql, stream=Broken())
        else:
            with dbapi.connect(db) as connection:
                connection.autocommit = autocommit
                connection.cursor().execute(sql, stream=Broken())
    assert db.run("select array_agg(n) from c").scalar() == [1]
    assert db.stats().sessions_open <= 1


def test_a_copy_that_writes_without_a_stream_is_not_sent(broker_to: Callable[..., Broker]) -> None:
    db = broker_to()
    db.run("create table c (n int)")
    connection = dbapi.connect(db)
    with pytest.raises(UnsafeStatement, match="needs a stream"):
        connection.cursor().execute(WRITES)
    connection.commit()
    connection.close()
    with pytest.raises(UnsafeStatement, match="needs a stream"), db.session() as lent:
        lent.run(WRITES)
    assert db.run("select count(*) from c").scalar() == 0


def test_a_closed_prepared_statement_is_refused_and_its_session_goes_on(
    broker_to: Callable[..., Broker], pgbouncer: Callable[..., PgBouncer]
) -> None:
    with broker_to(pgbouncer(max_prepared_statements="10")).session() as lent:
        prepared = lent.prepare("select :n::float8")
        assert prepared.run(n=1.5) == [[1.5]]
        prepared.close()
        prepared.close()
        with pytest.raises(TransactionEnded, match="closed"):
            prepared.run(n=1.5)
        assert lent.run("select 1") == [[1]]
