"""What a statement returns, and what may be sent, as a user meets it: rows, sizes, refusals."""

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
        (memoryview(b"\x00\xff"), "bytea"),
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


@pytest.mark.parametrize("value", [object(), {1, 2}, Order(1), iter(()), len])
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
