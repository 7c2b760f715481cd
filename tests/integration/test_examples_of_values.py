"""Values that a text codec gets wrong: one example of each kind, with the value that is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any

import psycopg
import pytest
from pg8000.types import PGInterval
from pg8000.types import Range as Pg8000Range

from broker import Broker, Interval, Range, StatementError
from tests.conftest import Database

READ: list[tuple[str, Any]] = [
    ("timestamp '2024-01-01 10:00' - timestamp '2024-01-01 11:30'", -timedelta(minutes=90)),
    ("interval '-45 seconds'", -timedelta(seconds=45)),
    ("interval '41 days -990:00:00'", timedelta(days=41, hours=-990)),
    ("array[interval '-00:00:05']", [-timedelta(seconds=5)]),
    ("interval '1 year 2 mons 3 days 04:05:06'", Interval(14, 3, 14_706_000_000)),
    ("row(1, null, 2)", ("1", None, "2")),
    ("row(null, null)", (None, None)),
    ("row(1, 'a\"b')", ("1", 'a"b')),
    ("row(1, row(2, 'x y'))", ("1", '(2,"x y")')),
    ("'[0:2]={1,2,3}'::int[]", [1, 2, 3]),
    ("array['a', 'null', 'NULL', null]", ["a", "null", "NULL", None]),
    ("inet '10.0.0.1/8'", ip_interface("10.0.0.1/8")),
    ("array[inet '10.0.0.1/8']", [ip_interface("10.0.0.1/8")]),
    ("array['0044-03-15 00:00:00 BC'::timestamp]", ["0044-03-15 00:00:00 BC"]),
    ("upper(tstzrange('2024-01-01', 'infinity'))", "infinity"),
    ("tsrange('-infinity', null)", Range("-infinity", None, "[)")),
    ("array[int4range(1, 5)]", [Range(1, 5)]),
    ("array[money '1.50']", ["$1.50"]),
    ("array['(1,2)'::point]", ["(1,2)"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "right"), READ)
def test_what_is_read(expression: str, right: Any, broker_to: Callable[..., Broker]) -> None:
    got = broker_to().run(f"select {expression}").scalar()
    assert got == right
    assert isinstance(got, type(right))


NOW = datetime(2024, 1, 1, tzinfo=UTC)
SENT: list[tuple[str, dict[str, Any], Any]] = [
    (":a > :b", {"a": 10, "b": 9}, True),
    ("greatest(:a, :b)", {"a": 9, "b": 10}, 10),
    (":a between :b and :c", {"a": 9, "b": 1, "c": 10}, True),
    (":a = :b", {"a": 1, "b": 1.0}, True),
    ("now() > now() - :a", {"a": timedelta(hours=1)}, True),
    ("tstzrange('2000-01-01', null) @> :a", {"a": NOW}, True),
    ("jsonb_build_object('k', :a)", {"a": 2}, {"k": 2}),
    ("int4range(1, 5) @> :a", {"a": 3}, True),
    (":a * :b", {"a": 300, "b": 300}, 90_000),
    ("'null' = any(:a)", {"a": ["null"]}, True),
    (":a::text[]::text", {"a": ["ruby", "Null", None]}, '{ruby,"Null",NULL}'),
    (":a::interval::text", {"a": Interval(14, 3, 5)}, "1 year 2 mons 3 days 00:00:00.000005"),
    (":a::interval::text", {"a": PGInterval(months=1, days=2, hours=5)}, "1 mon 2 days 05:00:00"),
    (":a::int4range[]::text", {"a": [Pg8000Range(1, 5)]}, '{"[1,5)"}'),
    (":a::numeric::text", {"a": Decimal("1E+3")}, "1000"),
    (":a::jsonb", {"a": {"k": [1, None]}}, {"k": [1, None]}),
]


@pytest.mark.parametrize(("expression", "given", "right"), SENT)
def test_what_is_sent(
    expression: str, given: dict[str, Any], right: Any, broker_to: Callable[..., Broker]
) -> None:
    assert broker_to().run(f"select {expression}", **given).scalar() == right


def test_composites_and_lists_of_them_go_in_as_they_come_out(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    db.run("create type holder as (a int, b text, d int[])")
    assert db.run("select (:v::holder).b", v=(1, "a(b)", None)).scalar() == "a(b)"
    assert db.run("select (:v::holder).d", v=(1, "x", [1, 2])).scalar() == [1, 2]
    assert db.run("select (:v::holder[])[1].b", v=[(1, "a b", None)]).scalar() == "a b"
    value = db.run("select row(1, 'q\"', array[3])::holder").scalar()
    assert value == (1, 'q"', [3])
    assert db.run("select :v::holder", v=value).scalar() == value


def test_a_float_goes_into_an_integer_column_as_postgresql_assigns_it(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    db.run("create table n (n int)")
    db.run("insert into n values (:n)", n=1)
    assert db.run("update n set n = :n", n=5.0).row_count == 1


def test_an_array_with_bounds_that_a_write_returns_is_read_after_it(
    broker_to: Callable[..., Broker],
) -> None:
    db = broker_to()
    db.run("create table b (v int[])")
    got = db.run("insert into b values ('[0:1]={1,2}') returning v").scalar()
    assert got == [1, 2]
    assert db.run("select count(*) from b where v = :v", v=got).scalar() == 1


def test_a_list_is_never_taken_for_json(broker_to: Callable[..., Broker]) -> None:
    for value in ([{"a": 1}], [], ["a"], [1]):
        with pytest.raises(StatementError, match=r"broker\.Json"):
            broker_to().run("select :v::jsonb", v=value)


def test_the_answers_are_those_of_psycopg(
    broker_to: Callable[..., Broker], database: Database
) -> None:
    db = broker_to()
    with psycopg.connect(database.server.dsn(database=database.name)) as other:
        for expression in (
            *("time '08:00' - time '17:30'", "interval '1 day' - interval '1 day 00:00:01'"),
            *("avg(x) from (values (interval '-1 hour'), (interval '-30 min')) v(x)",),
            *("date '2024-02-29'", "timetz '10:00+05:30'", "numeric '1.50'", "'{}'::jsonb"),
        ):
            row = other.execute(f"select {expression}").fetchone()
            assert row is not None
            assert db.run(f"select {expression}").scalar() == row[0]
