"""Bytes in, results and events out: an answer is its own, whole, and told apart from the next."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, ConnectionLost, ProtocolError, TooManyConnections
from broker.wire import messages
from broker.wire.exchange import MESSAGES_KEPT, Exchange, Inbox, Status, Wants
from broker.wire.protocol import DESCRIPTIONS_BYTES, Protocol
from broker.wire.startup import StartUp
from tests.chaos import answers, fuzz
from tests.unit.wire.peer import (
    BOUND,
    INT4,
    NO_DATA,
    PARSED,
    TEXT,
    WELCOME,
    ahead,
    described,
    done,
    message,
    noticed,
    notified,
    ready,
    refused,
    row,
    selected,
)

SETTING = message(b"S", b"TimeZone\0UTC\0")
COPY_IN, COPY_OUT = message(b"G", b"\0\0\0"), message(b"H", b"\0\0\0")


def given_bytes(data: bytes, exchange: Exchange, protocol: Protocol | None = None) -> Protocol:
    """Return the protocol after it has read these bytes as the exchange's answer."""
    protocol = protocol or Protocol()
    protocol.begin(exchange)
    protocol.receive(data)
    assert protocol.advance() is Wants.NOTHING
    return protocol


# Any answer


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**40))
def test_any_answer_gives_what_it_says_or_a_typed_error_however_it_is_cut(seed):
    """`make chaos` tries a million. A failure is repeated by its seed."""
    fuzz.check(seed)


@given(st.integers(0, 2**40), st.data())
def test_an_answer_as_it_should_be_is_the_same_cut_anywhere(seed, data):
    drawn = answers.draw(Random(seed))
    whole = b"".join(drawn.messages)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    pieces = [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]

    assert fuzz.read(Protocol(), drawn.exchange(), iter(pieces)) == fuzz.read(
        Protocol(), drawn.exchange(), iter([whole])
    )


@given(st.binary(max_size=60))
def test_any_bytes_are_waited_out_or_refused(data):
    found = fuzz.read(Protocol(), Exchange(), iter([data]))

    assert not found.in_sync or b"Z\0\0\0\5" in data


# Whose rows they are


def test_rows_ahead_and_behind_are_not_the_statements_own():
    exchange = Exchange(prefixes=2)
    given_bytes(
        ahead() + ahead("0") + selected(("1",), ("2",))[:-6] + ahead("afterwards") + ready(),
        exchange,
    )

    assert exchange.prefix_rows == [[b"0", b"x"]]
    (result_set,) = exchange.result_sets
    assert result_set.cells == [[b"1", b"2"]]
    assert exchange.suffix_cell == b"afterwards"
    assert (exchange.tag, exchange.row_count) == (b"SELECT 2", 2)


def test_the_rows_of_a_batch_are_one_result_and_those_described_again_another():
    columns, wider = described(("n", INT4)), described(("n", INT4), ("t", TEXT))
    exchange = Exchange(statements=3)
    given_bytes(
        PARSED
        + (BOUND + columns + row("1") + done("INSERT 0 1"))
        + (BOUND + row("2") + done("INSERT 0 1"))
        + (PARSED + BOUND + wider + row("3", "x") + done("INSERT 0 1"))
        + ready(),
        exchange,
    )

    assert [each.cells for each in exchange.result_sets] == [[[b"1", b"2"]], [[b"3"], [b"x"]]]
    assert exchange.row_count == 3


def test_an_empty_statement_is_answered_like_any_other():
    exchange = Exchange(statements=2)
    empty = PARSED + BOUND + NO_DATA + message(b"I") + BOUND + message(b"I")
    given_bytes(empty + ahead("behind") + ready(), exchange)

    assert (exchange.suffix_cell, exchange.row_count) == (b"behind", -1)


def test_a_prepared_statement_is_described_with_its_parameters():
    exchange = Exchange(statements=0)
    types = message(b"t", pack("!hii", 2, INT4, TEXT))
    given_bytes(PARSED + types + described(("n", INT4)) + ready(), exchange)

    assert exchange.parameter_types == (INT4, TEXT)
    assert exchange.result_sets[0].description.names == ("n",)


# The end of a round trip


@pytest.mark.parametrize("status", Status)
def test_the_status_is_the_servers_own(status):
    protocol = given_bytes(selected(("1",), status=status.value), Exchange())

    assert (protocol.status, protocol.in_sync) == (status, True)


@pytest.mark.parametrize(
    ("exchange", "data"),
    [
        (Exchange(), b""),
        (Exchange(), PARSED + BOUND + NO_DATA),
        (Exchange(prefixes=1), ahead()),
        (Exchange(prefixes=2), ahead()),
        (Exchange(statements=2), PARSED + BOUND + NO_DATA + done("UPDATE 1")),
        (Exchange(synced=False), b""),
        (Exchange(starting=StartUp({}, "")), b""),
    ],
)
def test_a_ready_for_query_before_the_answer_is_that_of_another_round_trip(exchange, data):
    protocol = Protocol()
    protocol.begin(exchange)
    protocol.receive(data + ready())
    with pytest.raises(ProtocolError):
        protocol.advance()

    assert not protocol.in_sync


@pytest.mark.parametrize("data", [ready(b"?"), ready(b""), ready(b"II"), ready(b"i")])
def test_an_unknown_status_is_refused(data):
    protocol = Protocol()
    protocol.begin(Exchange(statements=0))
    protocol.receive(data)
    with pytest.raises(ProtocolError):
        protocol.advance()


@pytest.mark.parametrize(
    "data",
    [
        message(b"?"),
        message(b"W", b"\0\0\0"),  # CopyBothResponse: nobody asked for replication
        message(b"R", pack("!i", 3)),
        b"C\0\0\0\3",
        b"C\xff\xff\xff\xff",
        row("1"),
        row(),
        described(("n", INT4)) + row("1", "2"),
        described(("n", INT4)) + message(b"D", pack("!hi", 1, 99) + b"x"),
        described(("n", INT4))[:-1].replace(b"n\0", b"nn"),
        message(b"S", b"no value"),
        message(b"S", b"client_encoding\0LATIN1\0"),
        message(b"A", b"\0"),
        message(b"T", b"\1\0"),
        message(b"E", b"\xff\0"),
        b"".join(message(b"S", b"s%d\0x\0" % number) for number in range(300)),
        refused("57P01", severity="FATAL"),
        refused("57P01", severity="PANIC"),
    ],
)
def test_after_what_cannot_be_the_session_is_out_of_sync_for_good(data):
    protocol = Protocol()
    protocol.begin(Exchange())
    protocol.receive(PARSED + BOUND + data + b"\0" * 9)
    with pytest.raises((ProtocolError, ConnectionLost)):
        protocol.advance()
    assert not protocol.in_sync

    protocol.begin(Exchange(statements=0))
    protocol.receive(ready())
    with pytest.raises(ProtocolError):
        protocol.advance()
    assert not protocol.in_sync


def test_an_answer_that_is_abandoned_leaves_the_session_out_of_sync_for_good():
    protocol = Protocol()
    protocol.abandon()
    protocol.begin(Exchange(statements=0))
    protocol.receive(ready())
    with pytest.raises(ProtocolError):
        protocol.advance()

    assert not protocol.in_sync


def test_nothing_is_read_where_no_answer_is_expected():
    protocol = given_bytes(ready(), Exchange(statements=0))
    protocol.receive(selected(("1",)))
    with pytest.raises(ProtocolError):
        protocol.advance()


def test_an_error_is_the_first_one_and_the_session_is_as_usable_as_before():
    exchange = Exchange(prefixes=1, statements=3)
    protocol = given_bytes(
        PARSED + refused("42601", "first") + refused("25P02", "second") + ready(b"E"), exchange
    )

    assert exchange.error is not None
    assert exchange.error["M"] == "first"
    assert (protocol.in_sync, protocol.status) == (True, Status.FAILED)


def test_an_error_while_starting_up_is_typed():
    protocol = Protocol()
    protocol.begin(Exchange(starting=StartUp({}, "")))
    protocol.receive(refused("53300", severity="FATAL"))
    with pytest.raises(TooManyConnections):
        protocol.advance()


def test_a_start_up_gives_the_settings_and_the_key_that_cancels():
    exchange = Exchange(starting=StartUp({}, ""))
    protocol = given_bytes(WELCOME[:9] + SETTING + WELCOME[9:], exchange)

    assert protocol.parameter_statuses == {"TimeZone": "UTC"}
    assert messages.cancel_request(protocol.backend_key)[8:] == pack("!ii", 1, 2)


def test_a_password_is_not_given_after_the_server_has_let_the_client_in():
    protocol = Protocol()
    protocol.begin(Exchange(starting=StartUp({"user": "app"}, "s3cret")))
    protocol.receive(WELCOME[:9] + message(b"R", pack("!i", 3)))
    with pytest.raises(ProtocolError):
        protocol.advance()

    assert b"s3cret" not in protocol.outgoing


# What the server says of itself


def test_what_comes_on_the_way_goes_to_the_one_who_asked_and_to_nobody_else():
    protocol, mine, theirs = Protocol(), Inbox(), Inbox()
    asides = noticed() + notified("kanal", "größer") + SETTING
    done_ = PARSED + asides + BOUND + NO_DATA + asides + done("SET") + ready()
    given_bytes(done_, Exchange(inbox=mine), protocol)
    given_bytes(done_, Exchange(), protocol)
    given_bytes(selected(), Exchange(inbox=theirs), protocol)

    assert [fields[b"M"] for fields in mine.notices] == [b"by the way"] * 2
    assert list(mine.notifications) == [(7, "kanal", "größer")] * 2
    assert mine.settings == theirs.settings == {"TimeZone": "UTC"}
    assert not theirs.notices
    assert not theirs.notifications


def test_of_too_many_notices_and_notifications_the_last_are_kept():
    inbox = Inbox()
    many = b"".join(noticed(f"{n}") + notified("c", f"{n}") for n in range(MESSAGES_KEPT + 50))
    given_bytes(many + ready(), Exchange(statements=0, inbox=inbox))

    assert len(inbox.notices) == len(inbox.notifications) == MESSAGES_KEPT
    assert (inbox.notices[0][b"M"], inbox.notifications[0][2]) == (b"50", "50")


def test_while_idle_only_what_the_server_says_of_itself_is_read():
    protocol, inbox = Protocol(), Inbox()
    protocol.receive(noticed() + SETTING + notified()[:6])
    protocol.read_asynchronous(inbox)
    assert (protocol.in_sync, protocol.unread_bytes, len(inbox.notices)) == (True, 6, 1)
    protocol.receive(notified()[6:])
    protocol.read_asynchronous(inbox)

    assert (protocol.unread_bytes, len(inbox.notifications)) == (0, 1)


@pytest.mark.parametrize("stray", [ready(), row("1"), b"D", b"Z\0\0", b"N\0\0\0\3", message(b"?")])
def test_while_idle_anything_else_is_somebody_elses_answer(stray):
    protocol = Protocol()
    protocol.receive(noticed() + stray)
    with pytest.raises(ProtocolError):
        protocol.read_asynchronous()

    assert not protocol.in_sync


def test_the_servers_last_words_are_found_among_answers():
    protocol = Protocol()
    protocol.begin(Exchange())
    protocol.receive(PARSED + refused("23505") + refused("57P01", "bye", "FATAL"))
    with pytest.raises(ConnectionLost, match="bye"):
        protocol.read_last_words()


# COPY


def test_copys_data_are_asked_for_and_its_end_is_marked():
    protocol = Protocol()
    protocol.begin(Exchange())
    protocol.receive(PARSED + BOUND + NO_DATA + COPY_IN)
    assert protocol.advance() is Wants.COPY_IN
    end = messages.SYNC + messages.close_statement(b"") + messages.SYNC
    assert protocol.copy_end() == messages.COPY_DONE + end
    assert protocol.copy_end(b"why") == messages.copy_fail(b"why") + end
    protocol.receive(done("COPY 2") + ready())
    assert protocol.advance() is Wants.BYTES
    protocol.receive(message(b"3") + ready())

    assert protocol.advance() is Wants.NOTHING


@pytest.mark.parametrize("syncs", [1, 2])
def test_a_copy_that_fails_is_over_at_the_mark_whichever_sync_the_server_has_read(syncs):
    exchange = Exchange()
    protocol = Protocol()
    protocol.begin(exchange)
    protocol.receive(COPY_IN + refused("P0001") + ready() * syncs + message(b"3") + ready())
    assert protocol.advance() is Wants.COPY_IN
    assert protocol.advance() is Wants.NOTHING

    assert (protocol.unread_bytes, protocol.in_sync) == (0, True)


def test_a_querys_copy_has_no_sync_and_no_mark():
    protocol = Protocol()
    protocol.begin(Exchange(synced=False))
    protocol.receive(COPY_IN + done("COPY 2") + ready())
    assert protocol.advance() is Wants.COPY_IN
    assert protocol.copy_end() == messages.COPY_DONE

    assert protocol.advance() is Wants.NOTHING


def test_what_copy_gives_comes_piece_by_piece():
    protocol = Protocol()
    protocol.begin(Exchange())
    protocol.receive(COPY_OUT + message(b"d", b"1\n") + message(b"d", b"2\n") + message(b"c"))
    pieces = []
    while protocol.advance() is Wants.COPY_OUT:
        pieces.append(protocol.copied)

    assert pieces == [b"", b"1\n", b"2\n"]


# Memory


@pytest.mark.parametrize("columns", [1, 100, 12_000])
def test_descriptions_are_remembered_within_bounds(columns):
    protocol = Protocol()
    for number in range(200):
        described_as = described(*[(f"column{number}_{n}", INT4) for n in range(columns)])
        given_bytes(described_as + done("SELECT 0") + ready(), Exchange(), protocol)
        kept = sum(map(len, protocol._descriptions))
        assert kept == protocol._descriptions_bytes <= DESCRIPTIONS_BYTES
        if columns == 12_000 and number == 1:
            break


def test_a_description_that_was_met_before_is_the_same_object():
    protocol, first, second = Protocol(), Exchange(), Exchange()
    given_bytes(selected(), first, protocol)
    given_bytes(selected(), second, protocol)

    assert first.result_sets[0].description is second.result_sets[0].description


def test_an_answer_is_not_kept_by_the_session_once_it_is_over():
    protocol = given_bytes(selected(("1",)), Exchange())

    assert protocol._exchange is None
    assert protocol._open is None


@pytest.mark.parametrize(
    "broken", [lambda: ProtocolError("x"), lambda: ValueError("s3cret")], ids=["ours", "any"]
)
def test_no_error_but_ours_leaves_the_protocol(
    broken: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
):
    def fail(_: bytes) -> None:
        raise broken()

    monkeypatch.setattr("broker.wire.rows.describe", fail)
    protocol = Protocol()
    protocol.begin(Exchange())
    protocol.receive(described(("n", INT4)))
    with pytest.raises(BrokerError) as raised:
        protocol.advance()

    assert "s3cret" not in str(raised.value)
    assert not protocol.in_sync
