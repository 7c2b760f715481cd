"""Frontend messages are what the protocol says (PostgreSQL manual, 54.7), to the byte."""

from __future__ import annotations

from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wire import encode
from tests.unit.wire.peer import split

words = st.binary(max_size=40).filter(lambda data: b"\0" not in data)
cells = st.none() | st.text(max_size=20)


def only(data: bytes) -> tuple[bytes, bytes]:
    (message,) = split(data)
    return message


@given(text=words, oids=st.lists(st.integers(-1, 2**31 - 1), max_size=5))
def test_parse_names_no_statement_and_leaves_to_the_server_what_it_is_not_told(text, oids):
    code, body = only(encode.parse(text, encode.parameter_types(oids)))

    assert code == b"P"
    name, sql = body.split(b"\0")[:2]
    assert (name, sql) == (b"", text)
    rest = body[len(text) + 2 :]
    assert unpack_from(f"!H{len(oids)}i", rest) == (len(oids), *(max(oid, 0) for oid in oids))
    assert len(rest) == 2 + 4 * len(oids)


@given(values=st.lists(cells, max_size=8), encoding=st.sampled_from(["utf-8", "utf-16-le"]))
def test_bind_carries_every_value_as_text_and_null_as_null(values, encoding):
    code, body = only(encode.bind(values, encoding))

    assert code == b"B"
    assert body[:4] == b"\0\0\0\0"  # unnamed portal and statement, text formats
    assert unpack_from("!H", body, 4) == (len(values),)
    at, read = 6, []
    for _ in values:
        (length,) = unpack_from("!i", body, at)
        at += 4
        read.append(None if length < 0 else body[at : at + length].decode(encoding))
        at += max(length, 0)
    assert read == values
    assert body[at:] == b"\0\0"


def test_more_parameters_than_bind_can_count_are_not_sent_as_fewer():
    encode.bind(["1"] * encode.MAX_PARAMETERS)
    with pytest.raises(Exception, match="65535"):
        encode.bind(["1"] * (encode.MAX_PARAMETERS + 1))


def test_binding_nothing_is_what_bind_says_of_no_values():
    assert encode.bind([]) == encode.BIND_NOTHING


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode.SYNC, (b"S", b"")),
        (encode.DESCRIBE_PORTAL, (b"D", b"P\0")),
        (encode.EXECUTE, (b"E", b"\0\0\0\0\0")),
        (encode.BIND_NOTHING, (b"B", b"\0" * 8)),
        (encode.query(b"select 1"), (b"Q", b"select 1\0")),
        (encode.copy_fail(b"no stream"), (b"f", b"no stream\0")),
    ],
)
def test_the_fixed_messages_are_whole(data, message):
    assert only(data) == message


@given(words)
def test_a_statement_that_rides_is_parsed_bound_and_executed_and_not_synced(text):
    messages = split(encode.unaccompanied(text))

    assert [code for code, _ in messages] == [b"P", b"B", b"E"]
    assert messages[0][1] == b"\0" + text + b"\0\0\0"
