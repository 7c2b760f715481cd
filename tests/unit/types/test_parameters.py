"""A parameter means on the server what it means in Python, or is refused by name."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import os
import pathlib
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy
import pg8000.types
import psycopg.types.multirange
import psycopg.types.range
import pytest
import sqlalchemy.dialects.postgresql.ranges as sqlalchemy_ranges
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ParameterError
from broker.types import Array, Interval, Json, Multirange, Range
from broker.types.parameters import Group, encode, encode_batch

UTC = dt.UTC
Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 7


class Word(enum.StrEnum):
    A = "a b"


class Bits(enum.Flag):
    ONE = 1


class Name(str):
    __slots__ = ()


@dataclass
class Order:
    id: int


class Printable:
    def __str__(self) -> str:
        return "1"


VALUES = [
    (None, 0, None),
    (True, 16, b"t"),
    (False, 16, b"f"),
    (1, 23, b"1"),
    (-(2**31), 23, b"-2147483648"),
    (2**31, 20, b"2147483648"),
    (-(2**63), 20, b"-9223372036854775808"),
    (2**63, 1700, b"9223372036854775808"),
    (Size.SMALL, 23, b"7"),
    (numpy.int64(5), 23, b"5"),
    (numpy.float64(1.5), 701, b"1.5"),
    (numpy.float32(1.5), 701, b"1.5"),
    (numpy.bool_(True), 16, b"t"),
    (1.5, 701, b"1.5"),
    (1e300, 701, b"1e+300"),
    (float("-inf"), 701, b"-inf"),
    (Decimal("1.50"), 1700, b"1.50"),
    (Decimal("-Infinity"), 1700, b"-Infinity"),
    (Decimal("-NaN"), 1700, b"NaN"),
    ("it's", 0, b"it's"),
    (Name("x"), 0, b"x"),
    (Word.A, 0, b"a b"),
    (Colour.RED, 0, b"RED"),
    (pathlib.PurePosixPath("/a/b"), 0, b"/a/b"),
    (dt.date(44, 3, 15), 1082, b"0044-03-15"),
    (dt.datetime(1, 2, 3, 4, 5, 6, 7), 1114, b"0001-02-03T04:05:06.000007"),
    (dt.datetime(2024, 1, 2, tzinfo=UTC), 1184, b"2024-01-02T00:00:00+00:00"),
    (
        dt.datetime(1900, 1, 1, tzinfo=ZoneInfo("Asia/Kolkata")),
        1184,
        b"1900-01-01T00:00:00+05:21:10",
    ),
    (
        dt.datetime(2024, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=23))),
        1184,
        b"2024-01-01T01:00:00+00:00",
    ),
    (dt.time(1, 2, 3), 1083, b"01:02:03"),
    (dt.time(1, 2, tzinfo=UTC), 1266, b"01:02:00+00:00"),
    (dt.timedelta(seconds=-1), 1186, b"-00:00:01"),
    (dt.timedelta(days=-2, hours=-3), 1186, b"-2 days -03:00:00"),
    (dt.timedelta(0), 1186, b"+00:00:00"),
    (Interval(14, 3, 14_706_000_000), 1186, b"+14 mons +3 days +04:05:06"),
    (
        pg8000.types.PGInterval(years=1, days=-2, seconds=6.7),
        1186,
        b"+12 mons -2 days +00:00:06.700000",
    ),
    (uuid.UUID(int=7), 2950, b"00000000-0000-0000-0000-000000000007"),
    (ipaddress.ip_address("::1"), 869, b"::1"),
    (ipaddress.ip_interface("10.0.0.1/8"), 869, b"10.0.0.1/8"),
    (ipaddress.ip_network("10.0.0.0/8"), 650, b"10.0.0.0/8"),
    ({"a": [1, None]}, 3802, b'{"a": [1, null]}'),
    (OrderedDict(a=1), 3802, b'{"a": 1}'),
    (Json([1, "x"]), 3802, b'[1, "x"]'),
    (Json(None), 3802, b"null"),
    ([1, None], 1007, b"{1,NULL}"),
    ([1, 2**40], 1016, b"{1,1099511627776}"),
    ([1, 2**70], 1231, b"{1,1180591620717411303424}"),
    ([1, Decimal("1.5")], 1231, b"{1,1.5}"),
    ([1, 1.5], 1022, b"{1,1.5}"),
    ([True, None], 1000, b"{t,NULL}"),
    (["null", "NULL", "", "a b", 'q"\\', None], 0, b'{"null","NULL","","a b","q\\"\\\\",NULL}'),
    ([[1, 2], [3, 4]], 1007, b"{{1,2},{3,4}}"),
    ([b"a", None], 1001, b'{"\\\\x61",NULL}'),
    ([{"a": 1}], 3807, b'{"{\\"a\\": 1}"}'),
    ([], 0, b"\f{}"),
    ([None], 0, b"{NULL}"),
    ([dt.date(2024, 1, 2), "infinity"], 1182, b"{2024-01-02,infinity}"),
    (Array([1, 2], [0]), 1007, b"[0:1]={1,2}"),
    (Array([[1], [2]], [-1, 3]), 1007, b"[-1:0][3:3]={{1},{2}}"),
    (Array(["(1,2),(3,4)", "a;b", None], (), ";"), 0, b'{"(1,2),(3,4)";"a;b";NULL}'),
    (Array([1, 2], (), ":"), 1007, b"{1:2}"),
    ([True, 1][1:], 1007, b"{1}"),
    ((1, None, "", "a(b)", 'q"', [1, 2]), 0, b'(1,,"","a(b)","q""","{1,2}")'),
    (Point(1, (2, "x y")), 0, b'(1,"(2,""x y"")")'),
    ([(1, "a b", None)], 0, b'{"(1,\\"a b\\",)"}'),
    (Range(1, 5), 0, b"[1,5)"),
    (Range(Decimal("1.5"), None, "[]"), 3906, b"[1.5,)"),
    (Range(dt.date(2024, 1, 2)), 3912, b"[2024-01-02,)"),
    (Range("-infinity", dt.datetime(2024, 1, 2), "(]"), 3908, b"(-infinity,2024-01-02T00:00:00]"),
    (Range(dt.datetime(2024, 1, 2, tzinfo=UTC), "infinity"), 3910, None),
    (Range("a", "b c"), 0, b'[a,"b c")'),
    (Range(is_empty=True), 0, b"empty"),
    ([Range(1, 5)], 0, b'{"[1,5)"}'),
    ([Range(Decimal(1)), Range(is_empty=True)], 3907, b'{"[1,)",empty}'),
    (Multirange([Range(1, 2), Range(4, 5)]), 0, b"{[1,2),[4,5)}"),
    (Multirange([Range(Decimal(1))]), 4532, b"{[1,)}"),
    (Multirange(), 0, b"{empty}"),
    (pg8000.types.Range(1, 5), 0, b"[1,5)"),
    (pg8000.types.Range(is_empty=True), 0, b"empty"),
    (psycopg.types.range.Range(1, 5, "()"), 0, b"(1,5)"),
    (psycopg.types.range.Range(empty=True), 0, b"empty"),
    (psycopg.types.range.Int4Range(1), 0, b"[1,)"),
    (psycopg.types.multirange.Multirange([psycopg.types.range.Range(1, 2)]), 0, b"{[1,2)}"),
    (sqlalchemy_ranges.Range(1, 5), 0, b"[1,5)"),
    (sqlalchemy_ranges.Range(empty=True), 0, b"empty"),
    (sqlalchemy_ranges.MultiRange([sqlalchemy_ranges.Range(1, 5)]), 0, b"{[1,5)}"),
]


@pytest.mark.parametrize(("value", "oid", "data"), VALUES, ids=[repr(v[0])[:50] for v in VALUES])
def test_a_value_has_its_type_and_its_exact_text(
    value: object, oid: int, data: bytes | None
) -> None:
    got = encode(value)
    assert got[:2] == (oid, 0)
    if data is not None or value is None:
        assert got[2] == data


@pytest.mark.parametrize("value", [b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff")])
def test_bytes_go_out_in_binary(value: object) -> None:
    assert encode(value) == (17, 1, b"\0\xff")


def test_a_number_of_any_length_that_numeric_has_is_sent() -> None:
    assert encode(10**131_071)[2] == b"1" + b"0" * 131_071
    assert encode(Decimal((0, (1,), -16_383)))[0] == 1700


class Raises(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("no offset today")

    def dst(self, when: dt.datetime | None) -> None:
        return None

    def tzname(self, when: dt.datetime | None) -> None:
        return None


class NoIndex:
    def __index__(self) -> int:
        raise RuntimeError("no index")


itself: list[Any] = []
itself.append(itself)
deep: Any = ()
for _ in range(5000):
    deep = (deep,)
circle: dict[str, Any] = {}
circle["a"] = circle

REFUSED = [
    (object(), "no type for a object; give its text, its parts, or a list"),
    (Order(1), "no type for a Order"),
    (Printable(), "no type for a Printable"),
    ({1, 2}, "no type for a set"),
    (len, "builtin_function"),
    (iter([]), "list_iterator"),
    ((each for each in "a"), "generator"),
    (range(3), "range"),
    (numpy.array([5]), "ndarray"),
    (Bits.ONE, "Bits"),
    ([Order(1)], "Order"),
    ([[1], [object()]], "object"),
    ((1, Order(1)), "Order"),
    (Range(Order(1)), "Order"),
    ({"a": Order(1)}, "Order"),
    ({Order: 1}, "keys must be"),
    (Json({1}), "set"),
    ({"a": float("nan")}, "JSON"),
    ({1: "a", "1": "b"}, "same string"),
    ({"x": [{True: 1, "true": 2}]}, "same string"),
    (circle, "JSON"),
    ("a\0b", "NUL"),
    (["a\0b"], "NUL"),
    (("a\0b",), "NUL"),
    ("\ud800", "surrogate"),
    (["\ud800"], "surrogate"),
    (10**131_072, "131,072 digits"),
    (Decimal("1e131072"), "131,072 digits"),
    (Decimal("1e-16384"), "16,383 decimals"),
    (Decimal("sNaN"), "signaling"),
    (dt.datetime(2024, 1, 1, tzinfo=Raises()), "no offset today"),
    (dt.time(1, tzinfo=ZoneInfo("Europe/Berlin")), "without a date"),
    (dt.time(1, tzinfo=dt.timezone(dt.timedelta(hours=20))), "15:59:59"),
    (NoIndex(), "no index"),
    ([1, "a"], "one type"),
    ([1, True], "one type"),
    ([True, 1], "one type"),
    ([1.5, Decimal(1)], "exactly"),
    ([1.5, 2**53 + 1], "exactly"),
    (["a", (1,)], "one type"),
    ([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)], "one type"),
    ([[1], 2], "beside"),
    ([1, [2]], "beside"),
    ([[1], None], "beside"),
    ([[1, 2], [3]], "different lengths"),
    ([[[1]], [2]], "beside"),
    ([[1], [[2]]], "beside"),
    ([[]], "empty array"),
    ([[[[[[[1]]]]]]], "6 dimensions"),
    (itself, "6 dimensions"),
    (deep, "nested"),
    (Array([1], [1, 1]), "lower bounds"),
    (Range(1, "b"), "one type"),
    (Range(dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)), "one type"),
    (Multirange([1]), "ranges"),  # type: ignore[list-item]
    (pg8000.types.PGInterval(months=1.5), "whole"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_cannot_be_sent_exactly_is_refused(value: object, words: str) -> None:
    for adapters in (None, {type(test_what_cannot_be_sent_exactly_is_refused): str}):
        if value is not len or adapters is None:
            with pytest.raises(ParameterError, match="cannot be sent: ") as raised:
                encode(value, adapters)
            assert words in str(raised.value)


def test_an_error_names_the_parameter_and_the_row() -> None:
    with pytest.raises(ParameterError) as raised:
        encode_batch([["a", 1], ["b", 2], ["c", Order(1)]], [":c", ":d"])
    assert str(raised.value) == (
        ":d in row 3 of the batch cannot be sent: PostgreSQL has no type for a Order; "
        "give its text, its parts, or a list"
    )
    with pytest.raises(ParameterError, match=r"^parameter 2 cannot be sent: "):
        encode_batch([[1, {1}]])
    with pytest.raises(ParameterError, match=r"^:c cannot be sent: .*NUL"):
        encode_batch([["\0"]], [":c"])


def test_more_parameters_than_bind_can_count_are_refused() -> None:
    assert len(encode_batch([[1] * 65_535])[0].oids) == 65_535
    with pytest.raises(ParameterError, match="65,536"):
        encode_batch([[1] * 65_536])


def test_an_interrupt_comes_through() -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(1, {int: interrupted})


@pytest.mark.parametrize(
    ("value", "adapters", "sent"),
    [
        (Order(7), {Order: lambda o: f"order {o.id}"}, (0, 0, b"order 7")),
        (Order(7), {Order: lambda o: o.id}, (23, 0, b"7")),
        ([Order(7)], {Order: lambda o: f"order {o.id}"}, (0, 0, b'{"order 7"}')),
        ((Order(7), 1), {Order: lambda o: "a,b"}, (0, 0, b'("a,b",1)')),
        (5, {int: lambda v: f"<{v}>"}, (0, 0, b"<5>")),
        (Size.SMALL, {enum.Enum: lambda e: e.name}, (0, 0, b"SMALL")),
        (Size.SMALL, {int: lambda e: "int"}, (0, 0, b"int")),
        (True, {int: lambda e: "int"}, (16, 0, b"t")),
        ([[1], [2]], {list: lambda v: "list"}, (0, 0, b"list")),
        (OrderedDict(a=1), {OrderedDict: lambda v: [1]}, (1007, 0, b"{1}")),
        (pathlib.PurePosixPath("/a"), {os.PathLike: lambda p: "path"}, (0, 0, b"path")),
    ],
)
def test_an_adapter_says_what_is_sent(
    value: object, adapters: dict[type, Any], sent: tuple[int, int, bytes]
) -> None:
    encode(value) if not isinstance(value, Order | list | tuple) else None
    assert encode(value, adapters) == sent


def test_what_an_adapter_raises_is_a_parameter_error() -> None:
    with pytest.raises(ParameterError, match="ZeroDivisionError"):
        encode_batch([[1]], adapters={int: lambda v: v / 0})


def test_rows_of_the_same_types_are_one_group() -> None:
    rows: list[list[object]] = [[1, "a", None], [2**40, None, None], [None, "b", b"x"]]
    assert encode_batch(rows) == [
        Group(
            (20, 0, 17),
            [
                (None, [b"1", b"a", None]),
                (None, [b"1099511627776", None, None]),
                ((0, 0, 1), [None, b"b", b"x"]),
            ],
        )
    ]


@pytest.mark.parametrize(
    ("one", "other", "oids"),
    [
        (1, "1", [23, 0]),
        (1, 2**70, [23, 1700]),
        (1, 1.0, [23, 701]),
        ("a", 1, [0, 23]),
        ([1], [2**40], [1016]),
        ([2**40], [1], [1016]),
        ([], [1], [1007]),
        ([1], [], [1007]),
        ([], 1, [0, 23]),
        ("\f{}", [1], [0, 1007]),
        ([1], "{}", [1007, 0]),
        (None, 1.5, [701]),
        (None, "a", [0]),
        (b"a", "a", [17, 0]),
        (dt.date(2024, 1, 1), dt.datetime(2024, 1, 1), [1082, 1114]),
    ],
)
def test_only_types_under_which_both_mean_the_same_share_a_group(
    one: object, other: object, oids: list[int]
) -> None:
    assert [group.oids[0] for group in encode_batch([[one], [other]])] == oids


def test_null_does_not_hide_that_two_rows_differ() -> None:
    assert [g.oids for g in encode_batch([[None], ["a"], [None], [1]])] == [(0,), (23,)]


def test_declared_types_override_those_of_the_values() -> None:
    assert encode_batch([[1, 1, b"x", b"x"]], oids=[20, 0, 25, 17]) == [
        Group((20, 23, 25, 17), [((0, 0, 0, 1), [b"1", b"1", b"\\x78", b"x"])])
    ]
    assert encode_batch([[1], ["a"]], oids=[25])[0].oids == (25,)
    assert encode_batch([[1]], oids=[-1])[0].oids == (23,)


def test_no_parameters_are_a_group_too() -> None:
    assert encode_batch([[]]) == [Group((), [(None, [])])]
    assert encode_batch([]) == []


@given(st.lists(st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.booleans())))
def test_the_short_way_and_the_long_way_give_the_same(values: list[object]) -> None:
    def given_or_refused(oids: tuple[int, ...]) -> object:
        try:
            return encode_batch([values], oids=oids)
        except ParameterError as error:
            return str(error)

    assert given_or_refused(()) == given_or_refused((0,))


@given(st.decimals())
def test_a_decimal_is_sent_whatever_the_context(value: Decimal) -> None:
    with decimal.localcontext() as context:
        context.prec = 2
        try:
            data = encode(value)[2]
        except ParameterError:
            return
    assert data is not None
    assert Decimal(data.decode()).compare_total(value) == 0 or value.is_nan()
