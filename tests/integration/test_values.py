"""A value is the same through every API, and goes back as what it was, direct and pooled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy

from broker import Broker, Converters, Json, ParameterError, StatementError, dbapi
from broker.local.pgbouncer import PgBouncer
from broker.sqlalchemy import create_engine
from broker.types import Array
from tests.conftest import Database
from tests.integration.test_codec import SAMPLES, SETUP, in_shape, literal

Api = Callable[..., Any]
"""Called with a statement, its parameters marked as :v, and their values; returns one cell."""

SKIPPED = {"hstore", "citext", "ltree", "cube", "vector", "odd name", "regdatabase", "oid8"}
TYPES = [name for name in SAMPLES if name not in SKIPPED]
MADE = {"bit": '"bit"', "bpchar": '"bpchar"', "char": '"char"'}
INFORMATION = {"cardinal_number", "character_data", "sql_identifier", "time_stamp", "yes_or_no"}


def quoted(name: str) -> str:
    schema = "information_schema." if name in INFORMATION else ""
    return schema + MADE.get(name, name)


def expressions() -> list[tuple[str, str]]:
    """Return each sample of each type, and some of what is made of them, with their types."""
    found = []
    for name in TYPES:
        typed = quoted(name)
        samples = [f"{literal(each)}::{typed}" for each in SAMPLES[name]]
        found += [(typed, each) for each in samples]
        if name != "words":
            every = ", ".join(samples)
            found.append((f"{typed}[]", f"array[{every}, null]"))
            found.append((f"{typed}[]", f"array_fill({samples[0]}, array[2, 2], array[0, -3])"))
    return found


@contextmanager
def apis(db: Broker) -> Iterator[dict[str, Api]]:
    """Lend each way to run a statement."""
    with ExitStack() as stack:

        def transaction(sql: str, **values: Any) -> Any:
            with db.transaction() as tx:
                return tx.run(sql, **values).scalar()

        def many(sql: str, **values: Any) -> Any:
            with db.transaction() as tx:
                rows = tx.run_many(sql, [values, values])
            assert repr(rows[0]) == repr(rows[1])
            return rows[0][0]

        connection = stack.enter_context(dbapi.connect(db))
        connection.autocommit = True

        def cursor(sql: str, **values: Any) -> Any:
            used = connection.cursor()
            if values:
                marked = re.sub(r"(?<!:):v\b", "%s", sql.replace("%", "%%"))
                used.execute(marked, list(values.values()))
            else:
                used.execute(sql)
            row = used.fetchone()
            assert row is not None
            return row[0]

        engine = create_engine(db).execution_options(isolation_level="AUTOCOMMIT")
        orm = stack.enter_context(engine.connect())

        def core(sql: str, **values: Any) -> Any:
            if not values:
                return orm.exec_driver_sql(sql).scalar()
            return orm.execute(
                sqlalchemy.text(re.sub(r":(?!v\b)|(?<=:):", r"\:", sql)), values
            ).scalar()

        yield {
            "run": lambda sql, **values: db.run(sql, **values).scalar(),
            "read": lambda sql, **values: db.read(sql, **values).scalar(),
            "transaction": transaction,
            "run_many": many,
            "DB-API": cursor,
            "SQLAlchemy": core,
        }


@contextmanager
def lent(db: Broker) -> Iterator[dict[str, Api]]:
    """Lend the ways of a session that is lent out whole."""
    with db.session() as session:

        def simple(sql: str, **values: Any) -> Any:
            return session.run(sql, **values)[0][0]

        def prepared(sql: str, **values: Any) -> Any:
            statement = session.prepare(sql)
            try:
                return statement.run(**values)[0][0]
            finally:
                statement.close()

        yield {"raw": simple, "prepared, binary results": prepared}


@pytest.fixture(params=["direct", "pooled"])
def db(
    request: pytest.FixtureRequest,
    database: Database,
    broker_to: Callable[..., Broker],
    pgbouncer: Callable[..., PgBouncer],
) -> Broker:
    made = broker_to(
        pgbouncer(max_prepared_statements="100") if request.param == "pooled" else None
    )
    for sql in filter(str.strip, SETUP.split(";")):
        made.run(sql)
    return made


def wrapped(name: str, value: Any, expression: str) -> Any:
    if "json" not in name or "path" in name:
        return value
    depth = 0 if "[]" not in name else 2 if "array_fill" in expression else 1
    return in_shape("json", value, depth) if depth else Json(value)


@pytest.mark.parametrize("way", [apis, lent])
def test_a_value_is_the_same_through_every_api_and_back(way: Any, db: Broker) -> None:
    assert not differences(way, db, expressions())


def differences(way: Any, db: Broker, samples: list[tuple[str, str]]) -> str:
    """Return where an API gives another value than the first, or sends one back as another."""
    wrong = []
    with ExitStack() as stack:
        found = {expression: db.run(f"select {expression}").scalar() for _, expression in samples}
        ways = stack.enter_context(way(db))
        for name, expression in samples:
            value, text = found[expression], f"({expression})::text"
            back = wrapped(name, value, expression)
            as_text = "jsonb[]" if name == "json[]" else "jsonb" if name == "json" else name
            sql = f"select (:v::{name})::{as_text}::text = (({expression})::{as_text})::text"
            for api, run in ways.items():
                got = run(f"select {expression}")
                if repr(got) != repr(value) or type(got) is not type(value):
                    wrong.append(f"{api}: {expression} is {got!r}, not {value!r}")
                if not run(sql, v=back) and not equal(run, name, expression, back):
                    wrong.append(f"{api}: {value!r} goes back as other than {text}")
    return "\n".join(wrong[:20])


def equal(run: Api, name: str, expression: str, value: Any) -> bool:
    """Return whether the server holds the two for equal, though it writes them otherwise."""
    return bool(run(f"select (:v::{name}) is not distinct from ({expression})", v=value))


TWO_OF_A_KIND = [
    (f"select {template}", kind)
    for kind in [(10, 9), (9, 10.5), (2**40, 3), (True, False), ("b", "a")]
    for template in (":a > :b", ":a = :b", "greatest(:a, :b)", "least(:a, :b)")
] + [
    (f"select {template}", (7, 2))
    for template in (
        *(":a + :b", ":a - :b", ":a * :b", ":a / :b", ":a % :b", ":a between :b and 9"),
        *("mod(:a, :b)", "power(:a, :b)", "coalesce(:a, :b)", "array[:a, :b]", "(:a, :b) > (7, 1)"),
        *("case when :a > :b then :a else :b end", "nullif(:a, :b)", "gcd(:a, :b)"),
        *("max(x) from (values (:a), (:b)) v(x)", "int4range(:b, :a)", "generate_series(:b, :a)"),
        *("jsonb_build_object('k', :a, 'l', :b)", "pg_typeof(:a + :b)", ":a in (:b, 7)"),
        *("300 * :a * 70000 / :b", "format('%s %s', :a, :b)", "int4range(1, 9) @> :a and :b = 2"),
    )
]  # fmt: skip


@pytest.mark.parametrize(("sql", "values"), TWO_OF_A_KIND)
def test_parameters_mean_what_literals_mean(
    sql: str, values: tuple[Any, Any], broker_to: Callable[..., Broker]
) -> None:
    def written(value: Any) -> str:
        text = repr(value) if not isinstance(value, float) else f"{value!r}::float8"
        return text if not isinstance(value, int) or value >= 0 else f"({text})"

    db = broker_to()
    literals = sql.replace(":a", written(values[0])).replace(":b", written(values[1]))
    needed = [value for value, mark in zip(values, (":a", ":b"), strict=True) if mark in sql]
    given = dict(zip([m[1:] for m in (":a", ":b") if m in sql], needed, strict=True))
    assert list(db.run(sql, **given)) == list(db.run(literals))


BAD = [
    *("a\0b", "\ud800", 10**131_073, object(), [object()], (1, object()), {1: object()}, {1, 2}),
    *([1, "a"], [[1], [2, 3]], ["x", ["y"]], [{"a": {1}}], Array([object()])),
]


@pytest.mark.parametrize("value", BAD, ids=lambda value: type(value).__name__)
def test_what_cannot_be_sent_is_refused_by_name_in_every_api_before_anything_is(
    value: Any, broker_to: Callable[..., Broker]
) -> None:
    db = broker_to()
    with pytest.raises(ParameterError, match=r"^:w cannot be sent: "):
        db.run("select :v::int, :w", v=1, w=value)
    with pytest.raises(ParameterError, match=r"^:w cannot be sent: "), db.transaction() as tx:
        tx.run("select :v::int, :w", v=1, w=value)
    with (
        pytest.raises(ParameterError, match=r"^:w in row 2 of the batch cannot be sent: "),
        db.transaction() as tx,
    ):
        tx.run_many("select :v::int, :w", [{"v": 1, "w": None}, {"v": 2, "w": value}])
    connection = dbapi.connect(db)
    with pytest.raises(ParameterError, match=r"^parameter 2 cannot be sent: "):
        connection.cursor().execute("select %s::int, %s", [1, value])
    connection.close()
    with (
        pytest.raises(ParameterError, match=r"^:w cannot be sent: "),
        db.session() as session,
    ):
        session.run("select :v::int, :w", v=1, w=value)


def test_more_parameters_than_the_protocol_counts_are_refused(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    sql = "select " + ", ".join(f":p{n}::int" for n in range(65_536))
    with pytest.raises(ParameterError, match="65,536"):
        db.run(sql, **{f"p{n}": n for n in range(65_536)})
    assert db.run("select 1").scalar() == 1


def test_no_text_of_the_servers_names_a_dollar_that_nobody_wrote(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    for sql, values in (
        ("select interval :v", {"v": "1 day"}),
        ("notify ch, :v", {"v": "x"}),
        ("select jsonb_build_object('k', :v)", {"v": "x"}),
    ):
        with pytest.raises(StatementError, match=":v") as raised:
            db.run(sql, **values)
        assert "$1" not in str(raised.value)


STYLES = {
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "timezone": "America/St_Johns",
    "client_encoding": "LATIN1",
}


@pytest.mark.parametrize("where", ["role", "database", "both"])
def test_settings_of_a_role_or_a_database_change_no_value(
    where: str, db: Broker, database: Database
) -> None:
    names = ("date", "timestamp", "interval", "bytea", "float8", "text", "tsrange", "numrange")
    wanted = [each for each in expressions() if each[0].removesuffix("[]") in names]
    usual = [db.run(f"select {each}").scalar() for _, each in wanted]
    owners = [f"role {database.user}"] if where != "database" else []
    owners += [f"database {database.name}"] if where != "role" else []
    try:
        for owner in owners:
            for setting, value in STYLES.items():
                database.server.admin(f"alter {owner} set {setting} = {literal(value)}")
        database.server.admin(
            f"select pg_terminate_backend(pid) from pg_stat_activity "
            f"where usename = {literal(database.user)}"
        )
        with Broker(db.settings) as styled:
            for (name, expression), value in zip(wanted, usual, strict=True):
                assert repr(styled.run(f"select {expression}").scalar()) == repr(value)
                sql = f"select (:v::{name}) is not distinct from ({expression})"
                assert styled.run(sql, v=value).scalar(), expression
            with styled.transaction() as tx:
                assert tx.run("select 0.1::float8 + 0.2").scalar() == 0.1 + 0.2
                assert tx.run("select 0.1::float8 + 0.2").scalar() == 0.1 + 0.2
            instant = styled.run("select timestamptz '2024-02-03 04:05:06+00'").scalar()
            assert instant == datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    finally:
        for owner in owners:
            database.server.admin(f"alter {owner} reset all")


def test_a_users_converters_are_the_users_alone(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    """The broker's own queries, such as the one about a lost COMMIT, never go through them."""
    spoilt = Converters().with_result(16, lambda _: 1 / 0).with_result(25, lambda text: text * 2)
    mine = spoilt.with_parameter(str, lambda _: "changed")
    db = Broker(database.settings(), converters=mine)
    assert db.run("select :v", v="x").scalar() == "changedchanged"
    with db.transaction() as tx:
        tx.run("create temp table t (k int) on commit drop")
    db.run("create table conv (k int)")
    with pytest.raises(StatementError, match="read-only"), db.transaction(read_only=True) as tx:
        tx.run("insert into conv values (1)")
    connection = dbapi.connect(broker_to())
    connection.register_in_adapter(16, lambda _: 1 / 0)
    connection.read_only = True
    with pytest.raises(dbapi.DatabaseError, match="read-only"):
        connection.cursor().execute("insert into conv values (1)")
    connection.close()
    db.close()


def test_a_converter_is_found_by_the_types_name(db: Broker) -> None:
    moods = Converters().with_result("mood", str.upper)
    with Broker(db.settings, converters=moods) as ours:
        assert ours.run("select 'happy'::mood").scalar() == "HAPPY"
        assert ours.run("select array['happy', null]::mood[]").scalar() == ["HAPPY", None]
        assert ours.run("select 'happy'::text").scalar() == "happy"
    connection = dbapi.connect(db)
    connection.register_in_adapter("public.mood", lambda text: (text,))
    cursor = connection.cursor()
    cursor.execute("select 'happy'::mood, 1")
    assert cursor.fetchone() == [("happy",), 1]
    connection.close()


def test_a_type_that_is_changed_under_a_session_is_read_as_it_is_now(
    db: Broker, database: Database
) -> None:
    db.run("create type changing as (a int, b text)")
    try:
        assert db.run("select row(1, 'x')::changing").scalar() == (1, "x")
        database.server.admin("alter type changing add attribute c int", database=database.name)
        assert db.run("select row(1, 'x', 2)::changing").scalar() == (1, "x", 2)
        for kind, text in (("text", "007"), ("int", 7), ("text", "007")):
            database.server.admin(
                f"alter type changing alter attribute a type {kind}", database=database.name
            )
            assert db.run("select row('007', 'x', 2)::changing").scalar() == (text, "x", 2)
            assert db.run("select array[row('007', 'x', 2)::changing]").scalar() == [(text, "x", 2)]
    finally:
        database.server.admin("drop type changing", database=database.name)
