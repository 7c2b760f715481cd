"""What the server prints is what Python gets: the same value, or the server's own text."""

from __future__ import annotations

import datetime as dt
import ipaddress
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.types import Array, Converters, Interval, Multirange, Range
from broker.types import interval_text as intervals
from broker.types.catalog import BUILTIN, TypeInfo, read
from broker.types.parameters import encode
from broker.types.results import decoder, needs_catalog, wants_binary

CATALOG = {
    info.oid: info
    for info in (
        TypeInfo(20001, "pair", "public", "composite", (23, 20006)),
        TypeInfo(20002, "_pair", "public", "array", (20001,)),
        TypeInfo(20003, "mood", "public", "enum"),
        TypeInfo(20004, "_mood", "public", "array", (20003,)),
        TypeInfo(20005, "positive", "public", "domain", (23,)),
        TypeInfo(20006, "_positive", "public", "array", (20005,)),
        TypeInfo(20007, "floatrange", "public", "range", (701,)),
        TypeInfo(20008, "floatmultirange", "public", "multirange", (20007,)),
        TypeInfo(20009, "hstore", "public", "base"),
        TypeInfo(20010, "_hstore", "public", "array", (20009,)),
        TypeInfo(20014, "_geometry", "public", "array", (20009,), ":"),
        TypeInfo(20011, "single", "public", "composite", (25,)),
        TypeInfo(20012, "loop", "public", "composite", (20013,)),
        TypeInfo(20013, "_loop", "public", "array", (20012,)),
    )
}


def text(oid: int, cell: str, converters: Converters | None = None) -> Any:
    return decoder(oid, 0, CATALOG, converters)(cell.encode())


def binary(oid: int, cell: bytes) -> Any:
    return decoder(oid, 1, CATALOG)(cell)


UTC = dt.UTC
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
TEXTS = [
    (16, "t", True),
    (23, "-5", -5),
    (701, "1.5", 1.5),
    (1700, "1.50", Decimal("1.50")),
    (25, "ünï", "ünï"),
    (17, "\\xdead", b"\xde\xad"),
    (17, "a\\\\b\\000\\377", b"a\\b\0\xff"),
    (1082, "2024-02-29", dt.date(2024, 2, 29)),
    (1082, "infinity", "infinity"),
    (1082, "0044-03-15 BC", "0044-03-15 BC"),
    (1082, "10000-01-01", "10000-01-01"),
    (1082, "02/29/2024", "02/29/2024"),
    (1082, "29.02.2024", "29.02.2024"),
    (1082, "01-02-2024", "01-02-2024"),
    (1082, "2024-W01-1", "2024-W01-1"),
    (1114, "2024-02-29 01:02:03.5", dt.datetime(2024, 2, 29, 1, 2, 3, 500_000)),
    (1114, "Thu Feb 29 01:02:03 2024", "Thu Feb 29 01:02:03 2024"),
    (1114, "2024-02-29 01:02:03 BC", "2024-02-29 01:02:03 BC"),
    (1184, "2024-02-29 01:02:03+05:30", dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=INDIA)),
    (1184, "29/02/2024 01:02:03 IST", "29/02/2024 01:02:03 IST"),
    (1083, "01:02:03", dt.time(1, 2, 3)),
    (1083, "24:00:00", "24:00:00"),
    (1266, "01:02:03+05:30", dt.time(1, 2, 3, tzinfo=INDIA)),
    (1266, "24:00:00+00", "24:00:00+00"),
    (1186, "infinity", "infinity"),
    (1186, "-01:30:00", -dt.timedelta(hours=1, minutes=30)),
    (1186, "1 mon", Interval(1)),
    (1186, "2147483647 days", Interval(0, 2147483647)),
    (2950, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
    (869, "10.0.0.1", ipaddress.ip_address("10.0.0.1")),
    (869, "10.0.0.1/8", ipaddress.ip_interface("10.0.0.1/8")),
    (650, "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
    (3802, '{"a": [1, null]}', {"a": [1, None]}),
    (790, "$1.00", "$1.00"),
    (22, "1 2", "1 2"),
    (1007, "{1,NULL,3}", [1, None, 3]),
    (1007, "{}", []),
    (1007, "{{1,2},{3,4}}", [[1, 2], [3, 4]]),
    (1007, "[0:1]={1,2}", Array([1, 2], [0])),
    (1009, '{a,"NULL",NULL,"",null,"q\\"\\\\{,"}', ["a", "NULL", None, "", "null", 'q"\\{,']),
    (1020, "{(1,2),(3,4);(5,6),(7,8)}", Array(["(1,2),(3,4)", "(5,6),(7,8)"], (), ";")),
    (3904, "[1,5)", Range(1, 5)),
    (3904, "(,)", Range()),
    (3904, "empty", Range(is_empty=True)),
    (3908, '["2024-01-01 00:00:00",infinity)', Range(dt.datetime(2024, 1, 1), "infinity")),
    (3905, '{"[1,5)",empty,NULL}', [Range(1, 5), Range(is_empty=True), None]),
    (4451, "{[1,2),[4,)}", Multirange([Range(1, 2), Range(4)])),
    (4451, "{}", Multirange()),
    (2249, '(1,,"","a""b","c\\\\d","(x,y)")', ("1", None, "", 'a"b', "c\\d", "(x,y)")),
    (2249, "()", (None,)),
    (2249, "(,)", (None, None)),
    (2249, '("",)', ("", None)),
    (2249, '(,"a,")', (None, "a,")),
    (2287, '{"(1,)","(,\\"a b\\")"}', [("1", None), (None, "a b")]),
    (20001, '(1,"{2,NULL}")', (1, [2, None])),
    (20002, '{"(1,\\"{2,3}\\")",NULL}', [(1, [2, 3]), None]),
    (20004, '{happy,"so so"}', ["happy", "so so"]),
    (20005, "5", 5),
    (20007, "[1.5,2)", Range(1.5, 2.0)),
    (20008, "{[1.5,2)}", Multirange([Range(1.5, 2.0)])),
    (20009, '"a"=>"b"', '"a"=>"b"'),
    (20010, '{"\\"a\\"=>\\"b\\""}', ['"a"=>"b"']),
    (20014, "{01:NULL}", Array(["01", None], (), ":")),
    (20011, "()", (None,)),
    (20011, '("")', ("",)),
    (99999, "{a}", "{a}"),
]


@pytest.mark.parametrize(
    ("oid", "cell", "value"), TEXTS, ids=[f"{o}-{c[:30]}" for o, c, _ in TEXTS]
)
def test_text_is_read_as_its_types_value(oid: int, cell: str, value: Any) -> None:
    got = text(oid, cell)
    assert got == value
    assert type(got) is type(value)
    assert repr(got) == repr(value)


def test_an_integer_in_json_may_have_more_digits_than_int_reads() -> None:
    assert text(3802, "[1" + "0" * 5000 + "]") == [10**5000]


INTERVALS = {
    "1 year 2 mons 3 days 04:05:06.789": (14, 3, 14_706_789_000),
    "-1 years -2 mons +3 days -04:05:06": (-14, 3, -14_706_000_000),
    "-00:00:00.5": (0, 0, -500_000),
    "41 days -990:00:00": (0, 41, -3_564_000_000_000),
    "@ 1 year 2 mons -3 days 4 hours 5 mins 6.789 secs ago": (-14, 3, -14_706_789_000),
    "@ 0": (0, 0, 0),
    "@ 0.5 secs": (0, 0, 500_000),
    "@ 1 hour 30 mins ago": (0, 0, -5_400_000_000),
    "@ 1 day -2 hours": (0, 1, -7_200_000_000),
    "1-2": (14, 0, 0),
    "-1-2": (-14, 0, 0),
    "-1 2:03:04": (0, -1, -7_384_000_000),
    "3 4:05:06.7": (0, 3, 14_706_700_000),
    "+1-2 -3 +4:05:06": (14, -3, 14_706_000_000),
    "-0-1 +2 -0:00:00.000001": (-1, 2, -1),
    "-4:05:06": (0, 0, -14_706_000_000),
    "0": (0, 0, 0),
    "P1Y2M-3DT4H5M6.5S": (14, -3, 14_706_500_000),
    "PT-1H-30M": (0, 0, -5_400_000_000),
    "PT-0.5S": (0, 0, -500_000),
    "PT0S": (0, 0, 0),
}


@pytest.mark.parametrize(("printed", "fields"), INTERVALS.items())
def test_an_interval_is_read_in_every_style(printed: str, fields: tuple[int, int, int]) -> None:
    assert intervals.parse(printed) == Interval(*fields)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_an_interval_survives_its_own_text(months: int, days: int, microseconds: int) -> None:
    interval = Interval(months, days, microseconds)
    assert intervals.parse(str(interval)) == interval


CHARACTERS = st.text(st.sampled_from("aé \\\"{}[](),;nulNUL\n\t'"), max_size=8)
TEXT = st.one_of(st.none(), CHARACTERS)


@given(st.lists(TEXT, min_size=1))
def test_an_array_of_texts_survives(values: list[str | None]) -> None:
    data = encode(values)[2]
    assert data is not None
    assert decoder(1009, 0, {})(data) == values


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_an_array_of_any_shape_survives(depth: int, size: int, data: st.DataObject) -> None:
    def build(level: int) -> list[Any]:
        if level == 1:
            return [data.draw(TEXT) for _ in range(size)]
        return [build(level - 1) for _ in range(size)]

    bounds = data.draw(st.lists(st.integers(-5, 5), min_size=depth, max_size=depth))
    value = Array(build(depth), bounds)
    written = encode(value)[2]
    assert written is not None
    got = decoder(1009, 0, {})(written)
    assert got == value
    assert got.lower_bounds == value.lower_bounds


@given(st.lists(TEXT, min_size=1).map(tuple))
def test_a_record_of_texts_survives(values: tuple[str | None, ...]) -> None:
    data = encode(values)[2]
    assert data is not None
    assert decoder(2249, 0, {})(data) == values


@given(st.lists(st.lists(TEXT, min_size=1).map(tuple), min_size=1))
def test_an_array_of_records_survives(values: list[tuple[str | None, ...]]) -> None:
    data = encode(values)[2]
    assert data is not None
    assert decoder(2287, 0, {})(data) == values


RANGES = st.builds(Range, TEXT, TEXT, st.sampled_from(["[)", "[]", "(]", "()"]), st.booleans())
RANGE_OF_TEXT = {
    1: TypeInfo(1, "textrange", "public", "range", (25,)),
    2: TypeInfo(2, "textmultirange", "public", "multirange", (1,)),
}


@given(RANGES)
def test_a_range_of_texts_survives(value: Range) -> None:
    data = encode(value)[2]
    assert data is not None
    assert decoder(1, 0, RANGE_OF_TEXT)(data) == value


@given(st.lists(RANGES, min_size=1).map(Multirange))
def test_a_multirange_survives(value: Multirange) -> None:
    data = encode(value)[2]
    assert data is not None
    assert decoder(2, 0, RANGE_OF_TEXT)(data) == value


def numeric_send(value: Decimal) -> bytes:
    """Write a numeric as PostgreSQL does, without trailing groups of zeros."""
    sign, _, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    whole, _, fraction = f"{value.copy_abs():f}".partition(".")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    every = whole + fraction
    groups = [int(every[i : i + 4]) for i in range(0, len(every), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        del groups[0]
        weight -= 1
    while groups and groups[-1] == 0:
        del groups[-1]
    if not groups:
        weight = 0
    head = struct.pack("!HhHH", len(groups), weight, 0x4000 if sign and groups else 0, scale)
    return head + struct.pack(f"!{len(groups)}H", *groups)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_a_binary_numeric_is_the_same_decimal(value: Decimal) -> None:
    if value.as_tuple().exponent < -100:  # type: ignore[operator]
        return
    got = binary(1700, numeric_send(value))
    assert got == value
    scale = max(-value.as_tuple().exponent, 0)  # type: ignore[operator]
    assert got.as_tuple().exponent == -scale


def cells(*values: bytes | None) -> bytes:
    return b"".join(
        struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v for v in values
    )


def int4(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}i", *values)


BINARIES = [
    (16, b"\x01", True),
    (21, b"\xff\xfe", -2),
    (23, int4(-5), -5),
    (20, b"\xff" * 8, -1),
    (26, b"\xff" * 4, 2**32 - 1),
    (701, struct.pack("!d", 1.5), 1.5),
    (1700, b"\0\0\0\0\xc0\0\0\0", Decimal("NaN")),
    (1700, b"\0\0\0\0\xf0\0\0\0", Decimal("-Infinity")),
    (3802, b'\x01{"a": 1}', {"a": 1}),
    (114, b"[1]", [1]),
    (17, b"\0\xff", b"\0\xff"),
    (2950, uuid.UUID(int=7).bytes, uuid.UUID(int=7)),
    (1082, int4(0), dt.date(2000, 1, 1)),
    (1082, int4(2**31 - 1), "infinity"),
    (1082, int4(-(2**31)), "-infinity"),
    (1082, int4(-730_120), "0001-12-31 BC"),
    (1082, int4(2_921_940), "10000-01-01"),
    (1114, struct.pack("!q", 1), dt.datetime(2000, 1, 1, 0, 0, 0, 1)),
    (1114, struct.pack("!q", 2**63 - 1), "infinity"),
    (1184, struct.pack("!q", 0), dt.datetime(2000, 1, 1, tzinfo=UTC)),
    (1184, struct.pack("!q", -63_082_281_600_500_000), "0001-12-31 23:59:59.5+00 BC"),
    (1083, struct.pack("!q", 86_400_000_000), "24:00:00"),
    (1266, struct.pack("!qi", 0, -19_800), dt.time(0, tzinfo=INDIA)),
    (1266, struct.pack("!qi", 86_400_000_000, 1), "24:00:00-00:00:01"),
    (1186, struct.pack("!qii", -1, 0, 0), dt.timedelta(microseconds=-1)),
    (1186, struct.pack("!qii", 5, 3, 1), Interval(1, 3, 5)),
    (1186, struct.pack("!qii", 2**63 - 1, 2**31 - 1, 2**31 - 1), "infinity"),
    (869, b"\x02\x20\0\x04\x0a\0\0\x01", ipaddress.ip_address("10.0.0.1")),
    (869, b"\x02\x08\0\x04\x0a\0\0\x01", ipaddress.ip_interface("10.0.0.1/8")),
    (650, b"\x02\x08\x01\x04\x0a\0\0\0", ipaddress.ip_network("10.0.0.0/8")),
    (829, b"\x08\0+\x01\x02\x03", "08:00:2b:01:02:03"),
    (1560, int4(3) + b"\xa0", "101"),
    (1007, int4(1, 1, 23, 2, 1) + cells(int4(5), None), [5, None]),
    (1007, int4(0, 0, 23), []),
    (1007, int4(2, 0, 23, 1, 1, 2, 1) + cells(int4(5), int4(6)), [[5, 6]]),
    (1007, int4(1, 0, 23, 1, 0) + cells(int4(5)), Array([5], [0])),
    (3904, b"\x02" + cells(int4(1), int4(5)), Range(1, 5)),
    (3904, b"\x01", Range(is_empty=True)),
    (3904, b"\x18", Range()),
    (3904, b"\x08" + cells(int4(5)), Range(None, 5)),
    (4451, int4(1) + cells(b"\x02" + cells(int4(1), int4(5))), Multirange([Range(1, 5)])),
]


@pytest.mark.parametrize(("oid", "cell", "value"), BINARIES)
def test_binary_is_read_as_its_types_value(oid: int, cell: bytes, value: Any) -> None:
    got = binary(oid, cell)
    assert repr(got) == repr(value)
    assert type(got) is type(value)


def test_binary_is_asked_for_only_where_it_reads_as_text_does() -> None:
    asked = {info.name for oid, info in BUILTIN.items() if wants_binary(oid, {})}
    scalars = {"bytea", "float8", "date", "time", "timestamp", "uuid"}
    ranges = {"daterange", "tsrange", "datemultirange", "tsmultirange"}
    assert asked == scalars | ranges | {f"_{name}" for name in scalars | ranges}
    assert not wants_binary(17, {}, Converters().with_result(17, str))
    assert not wants_binary(1001, {}, Converters().with_result("bytea", str))
    assert wants_binary(20007, CATALOG)
    assert not wants_binary(20001, CATALOG)


@pytest.mark.parametrize(
    ("given_type", "oid", "cell", "value"),
    [
        (23, 23, "5", "<5>"),
        ("hstore", 20009, "a", "<a>"),
        ("public.hstore", 20009, "a", "<a>"),
        ("hstore", 20010, "{a,NULL}", ["<a>", None]),
        ("hstore[]", 20010, "{a,NULL}", "<{a,NULL}>"),
        ("_hstore", 20010, "{a,NULL}", "<{a,NULL}>"),
        (1007, 1007, "{1}", "<{1}>"),
        (23, 1007, "{1}", ["<1>"]),
        (23, 3904, "[1,2)", Range("<1>", "<2>")),
        (23, 20001, "(1,{2})", ("<1>", ["<2>"])),
        ("other.hstore", 20009, "a", "a"),
    ],
)
def test_a_converter_gets_the_text_of_its_type_wherever_it_stands(
    given_type: int | str, oid: int, cell: str, value: Any
) -> None:
    converters = Converters().with_result(given_type, lambda given: f"<{given}>")
    assert text(oid, cell, converters) == value


def test_converters_are_never_changed() -> None:
    none = Converters()
    one = none.with_result(1, str).with_result("x", str).with_parameter(int, str)
    assert (dict(none.by_oid), dict(none.by_name), dict(none.adapters)) == ({}, {}, {})
    assert (dict(one.by_oid), dict(one.by_name)) == ({1: str}, {"x": str})
    assert dict(one.adapters) == {int: str}
    assert one != Converters()
    assert hash(one) == hash(one)


def test_only_what_can_have_parts_is_looked_up() -> None:
    assert not needs_catalog(1009, [b"{a}"])
    assert not needs_catalog(99999, [b"happy", None, b""])
    assert needs_catalog(99999, [b"x"], by_name=True)
    for cell in (b"{1}", b"[1,2)", b"(1,2)", b"empty"):
        assert needs_catalog(99999, [None, cell])


def test_the_catalogs_rows_are_read() -> None:
    rows: list[tuple[str | bytes | None, ...]] = [
        (b"20001", b"pair", b"public", b"c", b"23,25", b","),
        ("20003", "mood", "public", "e", None, ","),
    ]
    assert read(rows) == {
        20001: TypeInfo(20001, "pair", "public", "composite", (23, 25)),
        20003: TypeInfo(20003, "mood", "public", "enum"),
    }


def test_a_range_is_a_value() -> None:
    assert Range(1, 5) == Range(1, 5)
    assert hash(Range(1, 5)) == hash(Range(1, 5))
    assert Range(1, 5) != Range(1, 5, "[]")
    assert Range(None, 5, "[]") == Range(None, 5, "(]")
    assert Range(1, 2, is_empty=True) == Range(is_empty=True)
    assert (Range(1, 5).lower_inc, Range(1, 5).upper_inc) == (True, False)
    assert Range(1, 5) != (1, 5)
    with pytest.raises(ValueError, match="bounds"):
        Range(1, 5, "><")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e400", Decimal("1e400")),
        ('{"a": [-1.5E+309]}', {"a": [Decimal("-1.5E+309")]}),
        ("9" * 310 + ".5", Decimal("9" * 310 + ".5")),
        ("1e5", 100000.0),
        ("1.5", 1.5),
        ("1e-400", 0.0),
    ],
)
def test_a_number_in_json_that_is_beyond_float_is_a_decimal(text, value):
    got = decoder(114, 0, {})(text.encode())

    assert got == value
    assert type(got) is type(value)
