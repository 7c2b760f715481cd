"""Frontend messages are what the protocol says (PostgreSQL manual, 54.7), to the byte."""

from __future__ import annotations

from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.types.parameters import MOST_PARAMETERS
from broker.wire import messages
from tests.unit.wire.peer import split

words = st.binary(max_size=40).filter(lambda data: b"\0" not in data)
cells = st.none() | st.binary(max_size=20)


def only(data: bytes) -> tuple[bytes, bytes]:
    (message,) = split(data)
    return message


@given(text=words, oids=st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple))
def test_parse_names_no_statement_and_leaves_to_the_server_what_it_is_not_told(text, oids):
    code, body = only(messages.parse(text, oids))

    assert code == b"P"
    name, sql = body.split(b"\0")[:2]
    assert (name, sql) == (b"", text)
    rest = body[len(text) + 2 :]
    assert unpack_from(f"!H{len(oids)}i", rest) == (len(oids), *oids)
    assert len(rest) == 2 + 4 * len(oids)


@given(
    values=st.lists(st.tuples(cells, st.integers(0, 1)), max_size=8),
    name=words,
    results=st.lists(st.integers(0, 1), max_size=4),
    has_formats=st.booleans(),
)
def test_bind_carries_every_value_in_its_format_and_null_as_null(
    values, name, results, has_formats
):
    given_cells, formats = [cell for cell, _ in values], [code for _, code in values]
    codes = messages.format_codes(results)
    sent = messages.bind(given_cells, formats if has_formats else None, name, codes)
    code, body = only(sent)

    assert code == b"B"
    assert body.startswith(b"\0" + name + b"\0")  # the unnamed portal
    at = len(name) + 2
    told = len(values) if has_formats else 0
    assert unpack_from(f"!{told + 1}H", body, at) == (told, *formats[:told])
    at += 2 + 2 * told
    assert unpack_from("!H", body, at) == (len(values),)
    at, read = at + 2, []
    for _ in values:
        (length,) = unpack_from("!i", body, at)
        at += 4
        read.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    assert read == given_cells
    assert unpack_from(f"!{len(results) + 1}H", body, at) == (len(results), *results)
    assert len(body) == at + 2 + 2 * len(results)


def test_more_parameters_than_bind_can_count_are_not_sent_as_fewer():
    messages.bind([b"1"] * MOST_PARAMETERS)
    with pytest.raises(Exception, match="65535"):
        messages.bind([b"1"] * (MOST_PARAMETERS + 1))


def test_binding_nothing_is_what_bind_says_of_no_values():
    assert messages.bind([]) == messages.BIND_NOTHING


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (messages.SYNC, (b"S", b"")),
        (messages.DESCRIBE_PORTAL, (b"D", b"P\0")),
        (messages.EXECUTE, (b"E", b"\0\0\0\0\0")),
        (messages.BIND_NOTHING, (b"B", b"\0" * 8)),
        (messages.query(b"select 1"), (b"Q", b"select 1\0")),
        (messages.TERMINATE, (b"X", b"")),
        (messages.COPY_DONE, (b"c", b"")),
        (messages.copy_fail(b"no stream"), (b"f", b"no stream\0")),
        (messages.copy_data(b"1\n"), (b"d", b"1\n")),
        (messages.describe_statement(b"s1"), (b"D", b"Ss1\0")),
        (messages.close_statement(b"s1"), (b"C", b"Ss1\0")),
        (messages.password(b"pw\0"), (b"p", b"pw\0")),
    ],
)
def test_the_fixed_messages_are_whole(data, message):
    assert only(data) == message


@given(words)
def test_a_statement_that_rides_is_parsed_bound_and_executed_and_not_synced(text):
    sent = split(messages.execute_undescribed(text))

    assert [code for code, _ in sent] == [b"P", b"B", b"E"]
    assert sent[0][1] == b"\0" + text + b"\0\0\0"


def test_a_start_up_names_the_version_and_the_parameters():
    data = messages.startup({"user": "åsa", "database": "d"})

    assert unpack_from("!iHH", data) == (len(data), 3, 0)
    assert data[8:] == "user\0åsa\0database\0d\0\0".encode()


def test_requests_before_a_start_up_are_whole():
    assert unpack_from("!iHH", messages.SSL_REQUEST) == (8, 1234, 5679)
    data = messages.cancel_request(b"\0\0\0\1\0\0\0\2")
    assert unpack_from("!iHHii", data) == (16, 1234, 5678, 1, 2)
    assert len(data) == 16
