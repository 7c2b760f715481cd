"""Rows come out as they went in, however the network cut them, and broken ones are refused."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ProtocolError
from broker.wire import rows
from tests.unit.wire.peer import done, message, noticed, row

cells = st.none() | st.binary(max_size=12)
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6).map(
        lambda rows: (width, rows)
    )
)


def gathered(data: bytes, width: int, position: int = 0) -> tuple[int, list[list[bytes | None]]]:
    columns: list[rows.Column] = [[] for _ in range(width)]
    end = rows.gather(data, position, columns)
    return end, [list(cells) for cells in zip(*columns, strict=True)]


@given(tables, st.sampled_from([b"", done("SELECT 1"), noticed(), b"D", b"D\0\0"]))
def test_every_complete_row_is_taken_and_nothing_after_them(table, after):
    width, sent = table
    data = b"".join(row(*each) for each in sent)

    assert gathered(data + after, width) == (len(data), sent)


@given(tables, st.binary(max_size=9))
def test_rows_are_taken_from_where_they_begin(table, before):
    width, sent = table
    data = before + b"".join(row(*each) for each in sent)

    assert gathered(data, width, len(before)) == (len(data), sent)


@given(tables)
def test_a_cut_at_any_byte_takes_the_rows_before_it_and_leaves_the_rest(table):
    width, sent = table
    data = b"".join(row(*each) for each in sent)
    for cut in range(len(data) + 1):
        columns: list[rows.Column] = [[] for _ in range(width)]
        end = rows.gather(data[:cut], 0, columns)

        assert end <= cut
        taken = len(columns[0])
        assert end == len(b"".join(row(*each) for each in sent[:taken]))
        assert end + len(row(*sent[taken])) > cut if taken < len(sent) else end == len(data)
        # and what was left is taken when the rest has come
        rows.gather(data, end, columns)
        assert [list(cells) for cells in zip(*columns, strict=True)] == sent


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
        end, taken = gathered(b"D" + data, 2)
    except ProtocolError:
        return
    assert 0 <= end <= len(data) + 1
    assert (end == 0) == (not taken)


@given(st.lists(cells, max_size=5))
def test_the_cells_of_one_row_are_those_that_were_sent(sent):
    assert rows.cells(row(*sent)[5:]) == sent


@given(st.binary(max_size=40))
def test_the_cells_of_whatever_comes_are_read_or_refused(data):
    try:
        found = rows.cells(data)
    except ProtocolError:
        return
    assert sum(4 + len(cell or b"") for cell in found) == len(data) - 2


names = st.text('abå "', max_size=5)
numbers = st.integers(-(2**31), 2**31 - 1)
fields = st.builds(
    rows.Field,
    names,
    numbers,
    st.integers(-9, 9),
    numbers,
    st.integers(-9, 9),
    numbers,
    st.integers(0, 1),
)


def announced(columns: list[rows.Field]) -> bytes:
    body = pack("!h", len(columns))
    for field in columns:
        body += field.name.encode() + b"\0" + pack("!ihihih", *field[1:])
    return body


@given(st.lists(fields, max_size=4))
def test_a_description_names_the_columns_that_were_announced(columns):
    described = rows.describe(announced(columns))

    assert described.fields == tuple(columns)
    assert described.names == tuple(field.name for field in columns)


@given(st.lists(fields, min_size=1, max_size=3), st.data())
def test_a_description_that_is_cut_off_or_too_long_is_refused(columns, data):
    body = announced(columns)
    broken = data.draw(
        st.integers(0, len(body) - 1).map(lambda at: body[:at]) | st.just(body + b"x")
    )

    with pytest.raises(ProtocolError):
        rows.describe(broken)


def test_descriptions_differ_where_only_a_type_or_a_format_does():
    """They are what a session remembers its decoders by."""
    one = rows.Field("n", 0, 0, 23, 4, -1, 0)
    types = {
        rows.describe(announced([field])).types
        for field in (one, one._replace(type_oid=25), one._replace(format=1))
    }

    assert len(types) == 3


def test_columns_become_rows():
    columns: list[rows.Column] = [[b"1", b"2"], [b"a", None]]

    assert rows.decode(columns, [int, bytes.decode]) == [[1, "a"], [2, None]]


@pytest.mark.parametrize("function", [int, float, bytes.decode])
def test_null_is_none_wherever_it_stands(function):
    value = function(b"1")

    columns: list[rows.Column] = [[b"1", b"1"], [None], [b"1", None], [None, b"1"]]
    for column in columns:
        wanted = [None if cell is None else value for cell in column]
        assert [each[0] for each in rows.decode([column], [function])] == wanted


def test_no_decoder_is_given_a_null():
    assert rows.decode([[b"ab", None]], [lambda cell: cell * 2]) == [[b"abab"], [None]]
