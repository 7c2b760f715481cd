"""Values come out as pg8000's own connection gives them, and go in the same way."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import pathlib
import uuid
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pytest

from broker import Broker, ParameterError, StatementError, dbapi
from tests.conftest import Database

LITERALS = [
    "1::int2, 2::int4, 9223372036854775807::int8, 4294967295::oid",
    "1.5::float4, 'nan'::float8, '-infinity'::float8, 12345678901234567890.123::numeric",
    "true, false, null::bool, null::int, null::text, null::timestamptz",
    "'ünïcödé ☃'::text, ''::text, 'x'::varchar, 'y'::char(3), 'n'::name",
    "'\\xdeadbeef'::bytea, ''::bytea",
    "'2024-02-29'::date, 'infinity'::date, '0044-03-15 BC'::date, '10000-01-01'::date",
    "'2024-02-29 23:59:59.123456'::timestamp, '2024-02-29 23:59:59'::timestamp",
    "'2024-02-29 23:59:59.1+05:30'::timestamptz, 'infinity'::timestamptz, now()",
    "'23:59:59.5'::time, '00:00:00'::time, '1 year 2 mons 3 days 04:05:06'::interval",
    "'{1,2,null}'::int[], '{a,\"b c\",null}'::text[], '{{1,2},{3,4}}'::int[]",
    "'{\"a\": [1, null]}'::json, '{\"b\": 2}'::jsonb, 'null'::jsonb",
    "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, '10.0.0.0/8'::cidr, '10.0.0.1'::inet",
    "int4range(1, 5), tstzrange(null, null), row(1, 'a'), '(1,2)'::point, '1'::xid, 'v'::tsvector",
]


@pytest.mark.parametrize("literals", LITERALS)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_rows_are_those_of_a_plain_pg8000_connection(
    literals: str, zone: str, broker_to: Callable[..., Broker], database: Database
) -> None:
    database.server.admin(f"alter role {database.user} set timezone = '{zone}'")
    plain = database.connect()
    expected = plain.run(f"begin; select {literals}")
    plain.close()
    got = broker_to().run(f"select {literals}")
    for mine, theirs in zip(got.one(), expected[-1], strict=True):
        if not isinstance(theirs, datetime.datetime) or "now()" not in literals:
            assert repr(mine) == repr(theirs) or mine == theirs
        assert type(mine) is type(theirs)


@pytest.mark.parametrize(
    ("value", "cast"),
    [
        (1, "int"),
        (2**62, "bigint"),
        (decimal.Decimal("1.50"), "numeric"),
        (1.25, "float8"),
        (True, "bool"),
        ("it's a 'test' ☃", "text"),
        (None, "text"),
        (b"\x00\xff", "bytea"),
        (datetime.date(2024, 2, 29), "date"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 4), "timestamp"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC), "timestamptz"),
        (datetime.time(1, 2, 3), "time"),
        (uuid.UUID(int=7), "uuid"),
        ([1, 2, 3], "int[]"),
        (["a", None], "text[]"),
        ({"a": [1, None]}, "jsonb"),
        (ipaddress.ip_address("10.0.0.1"), "inet"),
    ],
)
def test_a_value_survives_the_round_trip(
    value: object, cast: str, broker_to: Callable[..., Broker]
) -> None:
    assert broker_to().run(f"select :v::{cast}", v=value).scalar() == value


def test_rows_without_columns_are_rows(broker_to: Callable[..., Broker]) -> None:
    result = broker_to().run("select from generate_series(1, 3)")
    assert list(result) == [[], [], []]
    assert result.columns == ()


def test_one_huge_cell_and_many_rows_come_through(broker_to: Callable[..., Broker]) -> None:
    db = broker_to()
    assert len(db.run("select repeat('x', 50000000)").scalar()) == 50_000_000
    assert [row[0] for row in db.run("select generate_series(1, 100000)")] == list(
        range(1, 100_001)
    )


def test_an_empty_statement_is_an_empty_result(broker_to: Callable[..., Broker]) -> None:
    result = broker_to().run("-- nothing")
    assert (list(result), result.columns, result.row_count) == ([], (), -1)


class Size(IntEnum):
    SMALL = 1


@dataclass
class Order:
    id: int


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("value", [object(), {1, 2}, Order(1), memoryview(b"x"), len])
def test_what_has_no_text_of_its_own_is_not_sent(
    value: object, broker_to: Callable[..., Broker]
) -> None:
    db = broker_to()
    with pytest.raises(ParameterError, match=type(value).__name__):
        db.run("select :v::text", v=value)
    connection = dbapi.connect(db)
    with pytest.raises(ParameterError):
        connection.cursor().execute("select %s", (value,))
    connection.close()
    assert db.stats().replaced == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(Size.SMALL, "1"), (Point(1, "a"), "(1,a)"), (pathlib.PurePosixPath("/a"), "/a")],
)
def test_a_kind_of_what_has_one_is(
    value: object, text: str, broker_to: Callable[..., Broker]
) -> None:
    assert broker_to().run("select :v::text", v=value).scalar() == text


@pytest.mark.parametrize(
    ("where", "value"),
    [("k in (:ids)", [1, 2]), ("k in :ids", [1, 2]), ("k = :ids", [1, 2]), ("k = any(:ids)", (1,))],
)
def test_a_list_where_sql_takes_none_is_told_how_it_is_written(
    where: str, value: Any, broker_to: Callable[..., Broker]
) -> None:
    db = broker_to()
    db.run("create table t (k int)")
    with pytest.raises(StatementError, match=r"= any\(:ids\)"):
        db.run(f"select k from t where {where}", ids=value)
    assert len(db.run("select k from t where k = any(:ids)", ids=[1, 2])) == 0
    with pytest.raises(StatementError) as raised:
        db.run("select k from t wher k = :k", k=1)
    assert "any(" not in str(raised.value)
