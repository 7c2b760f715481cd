"""Rows come out as they went in, however the network cut them, and broken ones are refused."""

from __future__ import annotations

from datetime import datetime
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pg8000 import converters

from broker.errors import ProtocolError
from broker.wire import decode
from tests.unit.wire.peer import done, message, noticed, row

cells = st.none() | st.binary(max_size=12)
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6).map(
        lambda rows: (width, rows)
    )
)


def gathered(data: bytes, width: int, position: int = 0) -> tuple[int, list[list[bytes | None]]]:
    columns: list[decode.Column] = [[] for _ in range(width)]
    end = decode.gather(data, position, columns)
    return end, [list(cells) for cells in zip(*columns, strict=True)]


@given(tables, st.sampled_from([b"", done("SELECT 1"), noticed(), b"D", b"D\0\0"]))
def test_every_complete_row_is_taken_and_nothing_after_them(table, after):
    width, rows = table
    data = b"".join(row(*each) for each in rows)

    assert gathered(data + after, width) == (len(data), rows)


@given(tables, st.binary(max_size=9))
def test_rows_are_taken_from_where_they_begin(table, before):
    width, rows = table
    data = before + b"".join(row(*each) for each in rows)

    assert gathered(data, width, len(before)) == (len(data), rows)


@given(tables)
def test_a_cut_at_any_byte_takes_the_rows_before_it_and_leaves_the_rest(table):
    width, rows = table
    data = b"".join(row(*each) for each in rows)
    for cut in range(len(data) + 1):
        columns: list[decode.Column] = [[] for _ in range(width)]
        end = decode.gather(data[:cut], 0, columns)

        assert end <= cut
        taken = len(columns[0])
        assert end == len(b"".join(row(*each) for each in rows[:taken]))
        assert end + len(row(*rows[taken])) > cut if taken < len(rows) else end == len(data)
        # and what was left is taken when the rest has come
        decode.gather(data, end, columns)
        assert [list(cells) for cells in zip(*columns, strict=True)] == rows


@pytest.mark.parametrize(("sent", "announced"), [(1, 2), (2, 1), (3, 2), (0, 1), (2, 5)])
@pytest.mark.parametrize("cell", [None, b"", b"abc", b"\0\0\0\0"])
def test_a_row_of_another_width_is_refused(sent, announced, cell):
    data = row(*[cell] * sent) + row(*[cell] * announced)

    with pytest.raises(ProtocolError):
        gathered(data, announced)


def test_a_row_that_lies_about_its_width_is_refused():
    body = pack("!hi", 5, 3) + b"abc"

    with pytest.raises(ProtocolError, match="5 columns where 1 were announced"):
        gathered(message(b"D", body), 1)


@pytest.mark.parametrize("length", [4, 100, 2**31 - 1])
def test_a_cell_that_is_longer_than_its_row_is_refused(length):
    body = pack("!hi", 1, length) + b"abc"

    with pytest.raises(ProtocolError):
        gathered(message(b"D", body) + row("next"), 1)


@given(st.binary(max_size=60))
def test_whatever_comes_is_taken_or_refused_and_never_read_twice(data):
    try:
        end, rows = gathered(b"D" + data, 2)
    except ProtocolError:
        return
    assert 0 <= end <= len(data) + 1
    assert (end == 0) == (not rows)


def converted(function: decode.Converter, *texts: str | None, encoding: str = "utf8") -> list[Any]:
    column: decode.Column = [None if text is None else text.encode(encoding) for text in texts]
    return [each[0] for each in decode.rows([column], [function], encoding)]


def test_columns_become_rows():
    columns: list[decode.Column] = [[b"1", b"2"], [b"a", None]]

    assert decode.rows(columns, [int, converters.string_in], "utf8") == [[1, "a"], [2, None]]


@pytest.mark.parametrize("function", [int, float, converters.string_in, converters.bool_in])
def test_null_is_none_wherever_it_stands(function):
    text = "t" if function is converters.bool_in else "1"
    value = function(text)

    assert converted(function, text, text) == [value, value]
    assert converted(function, None) == [None]
    assert converted(function, text, None) == [value, None]
    assert converted(function, None, text) == [None, value]


@given(st.lists(st.none() | st.text(), max_size=5), st.sampled_from(["utf8", "utf-8", "utf-16"]))
def test_text_comes_out_as_it_went_in(texts, encoding):
    assert converted(converters.string_in, *texts, encoding=encoding) == texts


FAST = [
    (int, st.integers(-(2**63), 2**63 - 1).map(str)),
    (float, st.floats().map(repr) | st.sampled_from(["NaN", "Infinity", "-Infinity", "1e+300"])),
    (converters.bool_in, st.sampled_from("tf")),
    (converters.date_in, st.dates().map(str) | st.sampled_from(["infinity", "-infinity"])),
    (converters.time_in, st.times().map(str)),
    (
        converters.timestamp_in,
        st.datetimes().map(str)
        | st.sampled_from(["infinity", "12024-01-01 00:00:00", "17/12/1997 07:37:16"]),
    ),
    (
        converters.timestamptz_in,
        st.builds(
            lambda moment, zone: f"{moment}{zone}",
            st.datetimes(),
            st.sampled_from(["+00", "-08", "+05:30", "-12:45"]),
        )
        | st.sampled_from(["infinity", "0044-03-15 00:00:00+00 BC"]),
    ),
]


@pytest.mark.parametrize(("function", "texts"), FAST, ids=lambda x: getattr(x, "__name__", ""))
@given(data=st.data())
def test_the_fast_way_gives_what_pg8000_gives(function, texts, data):
    given_texts = data.draw(st.lists(st.none() | texts, max_size=4))

    wanted = [None if text is None else function(text) for text in given_texts]

    assert [comparable(v) for v in converted(function, *given_texts)] == [
        comparable(v) for v in wanted
    ]


def comparable(value: Any) -> Any:
    """Return what is equal where the values are, NaN and different classes of zones included."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None), value.utcoffset()
    return repr(value)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (converters.timestamp_in, "infinity"),
        (converters.timestamp_in, "12024-01-01 00:00:00"),
        (converters.timestamp_in, "0044-03-15 00:00:00 BC"),
        (converters.timestamptz_in, "0044-03-15 00:00:00+00 BC"),
        (converters.date_in, "0044-03-15 BC"),
        (converters.date_in, "infinity"),
        (converters.time_in, "24:00:00"),
        (converters.interval_in, "infinity"),
    ],
)
@pytest.mark.filterwarnings("ignore:tzname BC")
def test_what_pythons_types_cannot_hold_comes_as_the_servers_text(function, text):
    """Neither an error after the statement has run, nor another value."""
    assert converted(function, text) == [text]


def test_a_function_of_the_users_own_is_given_text():
    assert converted(lambda text: text * 2, "ab", None) == ["abab", None]
