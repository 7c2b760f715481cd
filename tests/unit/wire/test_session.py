"""A statement is one flight, its answer is its own, and what remains afterwards is known."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.deadline import Deadline
from broker.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IntegrityError,
    ParameterError,
    ProtocolError,
    StatementError,
    TooManyConnections,
    UnsafeStatement,
    UsageError,
    WriteRefused,
)
from broker.types.converters import Converters
from broker.types.parameters import MOST_PARAMETERS
from broker.wire import Inbox, Manner, Reply, Session, Status, messages
from broker.wire.channel import Channel
from broker.wire.exchange import Exchange
from broker.wire.startup import StartUp
from tests.unit.fakes import FakeClock
from tests.unit.wire import peer as says
from tests.unit.wire.peer import INT4, TEXT, Peer, ahead, done, message, ready, row, selected

LIMITLESS = Deadline.never()  # so far away that no bound rides
SOON = 20.0


def run(session: Session, text: bytes = b"select 1", *values: object, **options: Any) -> Reply:
    return session.execute(text, [values], LIMITLESS, **options)


@pytest.fixture
def session(peer: Peer) -> Session:
    return peer.session()


def codes(peer: Peer) -> bytes:
    return b"".join(code for code, _ in peer.heard_messages())


# One flight


def test_a_statement_with_parameters_leaves_as_one_flight_with_one_sync(peer, session):
    peer.says(selected(("7",)))
    reply = run(session, b"select $1::int", 7)

    messages = peer.heard_messages()
    assert [code for code, _ in messages] == [b"P", b"B", b"D", b"E", b"S"]
    assert messages[0][1] == b"\0select $1::int\0" + pack("!hi", 1, INT4)
    assert reply._replace(described=()) == Reply(("n",), [[7]], 1, b"SELECT 1")
    assert session.clean


def test_begin_and_the_bound_ride_ahead_in_the_same_flight(peer, session):
    peer.says(ahead(), ahead("0"), selected(("1",), status=b"T"))
    reply = session.execute(
        b"select 1", [()], Deadline.after(SOON), begin=b"begin isolation level serializable"
    )

    messages = peer.heard_messages()
    assert b"".join(code for code, _ in messages) == b"PBEPBEPBDES"
    assert messages[0][1].startswith(b"\0begin isolation level serializable\0")
    assert b"set_config('statement_timeout'" in messages[3][1]
    assert reply.rows == [[1]]
    assert reply.tag == b"SELECT 1"
    assert session.status is Status.TRANSACTION
    assert not session.clean


def test_a_batch_is_parsed_and_described_once_and_its_rows_and_counts_are_those_of_all(
    peer, session
):
    columns = says.described(("n", INT4))
    peer.says(
        says.PARSED,
        *[says.BOUND, columns, row("1"), done("INSERT 0 1")],
        *[says.BOUND, row("2"), row("3"), done("INSERT 0 2")],
        *[says.BOUND, done("INSERT 0 0")],
        ready(),
    )
    reply = session.execute(b"insert into t", [(1,), (2,), (3,)], LIMITLESS)

    assert codes(peer) == b"PBDEBEBES"
    assert reply.rows == [[1], [2], [3]]
    assert reply.row_count == 3


def test_a_statement_without_rows_has_no_columns_and_the_servers_count(peer, session):
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, done("UPDATE 12"), ready())

    assert run(session) == Reply((), [], 12, b"UPDATE 12")


def test_a_statement_that_the_server_does_not_count_counts_minus_one(peer, session):
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, done("CREATE TABLE"), ready())

    assert run(session).row_count == -1


def test_an_empty_statement_is_answered(peer, session):
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, message(b"I"), ready())

    assert run(session, b"") == Reply((), [], -1, b"")


def test_rows_of_no_columns_are_still_rows(peer, session):
    peer.says(says.PARSED, says.BOUND, says.described(), row(), row(), done("SELECT 2"), ready())

    assert run(session).rows == [[], []]


def test_a_null_is_none_and_the_same_names_may_come_twice(peer, session):
    columns = (("a", TEXT), ("a", INT4))
    peer.says(selected((None, "2"), ("x", None), columns=columns))
    reply = run(session)

    assert (reply.columns, reply.rows) == (("a", "a"), [[None, 2], ["x", None]])


def test_notices_and_notifications_in_between_change_nothing(peer, session):
    parts = [says.PARSED, says.BOUND, says.described(("n", INT4)), row("1"), row("2")]
    parts += [done("SELECT 2"), ready()]
    asides = [says.noticed(), says.notified(), message(b"S", b"TimeZone\0UTC\0")]
    peer.says(*[piece for part in parts[:-1] for piece in (*asides, part)], parts[-1])
    inbox = Inbox()

    assert run(session, manner=Manner(inbox=inbox)).rows == [[1], [2]]
    assert len(inbox.notices) == len(inbox.notifications) == 6
    assert inbox.settings == {"TimeZone": "UTC"}


@given(data=st.data())
def test_an_answer_cut_anywhere_is_the_same_answer(data):
    """The socket gives one piece at a time, cut where hypothesis likes it."""
    answer = (
        ahead()
        + ahead("30s")
        + selected(
            ("1", "å"),
            ("2", None),
            columns=(("n", INT4), ("t", TEXT)),
        )
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=8)))
    pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    session = in_pieces(pieces)

    reply = session.execute(b"select", [()], Deadline.after(SOON), begin=b"begin")

    assert reply._replace(described=()) == Reply(("n", "t"), [[1, "å"], [2, None]], 2, b"SELECT 2")
    assert session.clean


def test_an_answer_cut_at_each_single_byte_is_the_same_answer():
    answer = selected(("1", "å"), ("22", "b"), columns=(("n", INT4), ("t", TEXT)))
    for cut in range(1, len(answer)):
        session = in_pieces([answer[:cut], answer[cut:]])
        assert run(session).rows == [[1, "å"], [22, "b"]]
    assert run(in_pieces([bytes([byte]) for byte in answer])).rows == [[1, "å"], [22, "b"]]


class Pieces:
    """A socket that gives each piece in a call of its own, and takes whatever is sent."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [says.WELCOME, *pieces]

    def recv(self, size: int) -> bytes:
        """Give the next piece."""
        return self.pieces.pop(0) if self.pieces else b""

    def sendall(self, data: bytes) -> None:
        """Take it."""

    def settimeout(self, seconds: float | None) -> None:
        """Wait for nothing."""


def in_pieces(pieces: list[bytes]) -> Session:
    sock: Any = Pieces(pieces)
    return says.started(Channel(sock, LIMITLESS))


# What the server refuses


def test_a_refused_statement_leaves_the_session_as_usable_as_before(peer, session):
    peer.says(says.PARSED, says.refused("23505", "duplicate key"), ready())
    with pytest.raises(IntegrityError, match="duplicate key"):
        run(session)
    assert session.clean
    peer.says(selected(("1",)))

    assert run(session).rows == [[1]]


def test_rows_that_came_before_the_refusal_are_forgotten(peer, session):
    described = says.described(("n", INT4))
    peer.says(says.PARSED, says.BOUND, described, row("1"), says.refused("22012"), ready(b"E"))
    with pytest.raises(StatementError):
        run(session)
    assert session.status is Status.FAILED
    peer.says(selected(("2",)))

    assert run(session).rows == [[2]]


def test_a_refused_begin_leaves_no_transaction(peer, session):
    peer.says(says.refused("0A000"), ready())
    with pytest.raises(StatementError):
        run(session, begin=b"begin")

    assert session.clean


def test_a_session_whose_write_was_refused_as_read_only_keeps_the_refusal_to_be_asked_about(
    peer, session
):
    peer.says(says.refused("25006"), ready())
    with pytest.raises(WriteRefused) as raised:
        run(session)

    assert session.refused is raised.value
    assert session.clean


def test_a_cancelation_at_the_deadline_is_the_deadlines_and_any_other_is_not(peer, session):
    cancel = says.PARSED + says.refused("57014", "canceling statement due to user request")
    peer.says(cancel, ready())
    with pytest.raises(StatementError):
        session.execute(b"select", [()], Deadline.after(SOON), rides=False)
    peer.says(cancel, ready())
    clock = says_late()
    with pytest.raises(DeadlineExceeded) as raised:
        session.execute(b"select", [()], clock, rides=False)

    assert raised.value.sqlstate == "57014"
    assert session.clean


def says_late() -> Deadline:
    """Return a deadline that lets everything through and has next to nothing left."""

    class Late(Deadline):
        def remaining_s(self) -> float:
            return 0.01

    return Late(Deadline.after(SOON).at_s)


# Sessions that end


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_an_answer_that_breaks_off_leaves_a_session_that_is_not_clean(cut):
    session = in_pieces([selected(("1",))[:cut]]) if cut else in_pieces([])
    with pytest.raises(ConnectionLost) as raised:
        run(session)

    assert raised.value.may_have_run
    assert not session.whole
    assert not session.clean
    assert repr(session).endswith("unusable>")


def test_the_servers_last_words_are_the_errors():
    session = in_pieces([says.refused("57P01", "terminating connection", "FATAL")])
    with pytest.raises(ConnectionLost, match="terminating connection") as raised:
        run(session)

    assert raised.value.may_have_run
    assert raised.value.sqlstate == "57P01"
    assert not session.clean


@pytest.mark.parametrize("size", [1, 100_000])
def test_words_that_came_before_the_statement_was_sent_say_that_it_did_not_run(peer, session, size):
    peer.says(says.refused("57P01", "terminating connection", "FATAL"))
    peer.hangs_up()
    with pytest.raises(ConnectionLost) as raised:
        run(session, b"select '" + b"x" * size + b"'")

    assert not raised.value.may_have_run
    assert raised.value.sqlstate == "57P01"
    assert raised.value.__cause__ is not raised.value


def test_a_peer_that_left_without_a_word_is_an_error_that_is_not_its_own_cause(peer, session):
    peer.hangs_up()
    with pytest.raises(ConnectionLost) as raised:
        run(session)

    assert not raised.value.may_have_run
    assert raised.value.__cause__ is not raised.value


def test_words_that_came_with_the_last_answer_say_that_the_next_statement_did_not_run(
    peer, session
):
    peer.says(selected(("1",)), says.refused("57P01", "terminating connection", "FATAL"))
    assert run(session).rows == [[1]]
    with pytest.raises(ConnectionLost) as raised:
        run(session)

    assert raised.value.sqlstate == "57P01"
    assert not raised.value.may_have_run
    assert not session.whole


def test_a_session_that_ended_says_so_and_sends_nothing(peer, session):
    session.close()
    peer.heard()
    with pytest.raises(ConnectionLost, match="closed before") as raised:
        run(session)

    assert not raised.value.may_have_run
    assert peer.heard() == b""


def test_no_answer_by_the_deadline_leaves_a_session_that_is_not_clean(peer, session):
    with pytest.raises(DeadlineExceeded):
        session.execute(b"select pg_sleep(9)", [()], Deadline.after(0.02), rides=False)

    assert not session.whole


def test_a_deadline_that_has_passed_sends_nothing_and_spoils_nothing(peer, session):
    with pytest.raises(DeadlineExceeded):
        session.execute(b"select 1", [()], Deadline.after(-1))

    assert peer.heard() == b""
    assert session.clean


# What the protocol does not allow


@pytest.mark.parametrize(
    "nonsense",
    [
        message(b"?"),
        b"Z\0\0\0\x03I",
        b"C\xff\xff\xff\xff",
        b"N\0\0\0\0",
        row("1"),
        says.described(("n", INT4)) + row("1", "2"),
    ],
    ids=["unknown type", "length 3", "length -1", "length 0", "row undescribed", "row too wide"],
)
def test_what_cannot_be_is_a_protocol_error_and_the_session_is_not_kept(peer, session, nonsense):
    peer.says(says.PARSED, says.BOUND, nonsense)
    with pytest.raises(ProtocolError):
        run(session)

    assert not session.clean


@given(st.binary(max_size=40))
def test_whatever_a_server_sends_no_answer_is_made_of_it_unless_it_is_whole(data):
    session = in_pieces([data]) if data else in_pieces([])
    try:
        run(session)
    except Exception:
        assert not session.whole or session.status is not None
    else:
        assert b"Z\0\0\0\x05" in data


def test_an_answer_that_nobody_asked_for_is_given_to_nobody(peer, session):
    """Or every statement from here on would get the answer to the one before it."""
    peer.says(selected(("1",)) + selected(("666",)))
    assert run(session).rows == [[1]]
    peer.says(selected(("2",)))
    with pytest.raises(ProtocolError):
        run(session)

    assert not session.clean


def test_what_cannot_be_converted_spoils_no_session(peer, session):
    peer.says(selected(("a secret",)))
    with pytest.raises(ProtocolError, match="cannot be read") as caught:
        run(session)
    assert "secret" not in str(caught.value)
    assert session.clean


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, TypeError, KeyError])
def test_what_a_converter_raises_is_the_callers_own_and_spoils_no_session(peer, session, error):
    asked = []

    def convert(text: str) -> None:
        asked.append(text)
        raise error("mine")

    converters = Converters().with_result(INT4, convert)
    peer.says(selected(("1",)))
    with pytest.raises(error, match="mine"):
        run(session, manner=Manner(converters=converters))
    assert asked == ["1"]
    assert session.clean


# Parameters


def test_a_parameter_that_cannot_be_sent_is_refused_before_anything_is(peer, session):
    class Unsayable:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(ParameterError, match=r"no type for a .*Unsayable"):
        run(session, b"select $1", Unsayable())

    assert peer.heard() == b""
    assert session.clean


def test_more_parameters_than_the_protocol_counts_are_refused(peer, session):
    with pytest.raises(ParameterError):
        run(session, b"select", *range(MOST_PARAMETERS + 1))
    assert peer.heard() == b""


# The bound


def riding(peer: Peer) -> list[bytes]:
    return [
        body.split(b"\0")[1]
        for code, body in peer.heard_messages()
        if code == b"P" and b"statement_timeout" in body
    ]


def test_the_bound_asks_for_what_is_in_force_once_and_is_left_out_where_that_is_enough(
    peer, session
):
    peer.says(ahead("15s"), selected(("1",)))
    session.execute(b"select 1", [()], Deadline.after(SOON))
    (first,) = riding(peer)
    assert b"current_setting" in first
    peer.says(selected(("1",)))
    session.execute(b"select 1", [()], Deadline.after(SOON))
    assert riding(peer) == []
    peer.says(ahead("x"), selected(("1",)))
    session.execute(b"select 1", [()], Deadline.after(5))

    (third,) = riding(peer)
    assert b"current_setting" not in third


def test_a_flight_that_failed_still_taught_what_is_in_force(peer, session):
    peer.says(ahead("15s"), says.PARSED, says.refused("42P01"), ready())
    with pytest.raises(StatementError):
        session.execute(b"select 1", [()], Deadline.after(SOON))
    peer.heard()
    peer.says(selected(("1",)))
    session.execute(b"select 1", [()], Deadline.after(SOON))

    assert riding(peer) == []


def in_transaction(peer: Peer, session: Session, seconds: float = SOON) -> None:
    peer.says(ahead(), ahead("0"), selected(("1",), status=b"T"))
    session.execute(b"select 1", [()], Deadline.after(seconds), begin=b"begin")
    assert len(riding(peer)) == 1


def test_in_a_transaction_the_bound_holds_until_much_less_is_left(peer, session):
    in_transaction(peer, session)
    peer.says(selected(("1",), status=b"T"))
    session.execute(b"select 1", [()], Deadline.after(SOON - 0.5))
    assert riding(peer) == []
    peer.says(ahead("x"), selected(("1",), status=b"T"))
    session.execute(b"select 1", [()], Deadline.after(5))

    assert len(riding(peer)) == 1


def test_the_bound_is_gone_with_the_transaction(peer, session):
    in_transaction(peer, session)
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, done("COMMIT"), ready())
    session.execute(b"commit", [()], LIMITLESS, rides=False)
    peer.heard()
    peer.says(ahead("x"), selected(("1",)))
    session.execute(b"select 1", [()], Deadline.after(SOON))

    assert len(riding(peer)) == 1


def test_a_rollback_to_a_savepoint_takes_the_bound_back_and_so_it_rides_again(peer, session):
    """set_config(…, true) is undone with the subtransaction: the earlier, longer bound returns."""
    in_transaction(peer, session, seconds=1000)
    peer.says(ahead("x"), says.PARSED + says.BOUND + says.NO_DATA + done("UPDATE 1") + ready(b"T"))
    session.execute(b"update t set n = 1", [()], Deadline.after(5))
    assert len(riding(peer)) == 1
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, done("ROLLBACK"), ready(b"T"))
    session.execute(b"rollback to s", [()], Deadline.after(5))
    peer.heard()
    peer.says(ahead("x"), selected(("1",), status=b"T"))
    session.execute(b"select 1", [()], Deadline.after(5))

    assert len(riding(peer)) == 1


def test_a_flight_that_was_not_sent_bounds_nothing(peer, session):
    in_transaction(peer, session, seconds=1000)
    assert session._connection._busy.acquire(blocking=False)  # as another thread's flight would
    with pytest.raises(UsageError):
        session.execute(b"select 1", [()], Deadline.after(5))
    session._connection._busy.release()
    peer.says(ahead("x"), selected(("1",), status=b"T"))
    session.execute(b"select 1", [()], Deadline.after(5))

    assert len(riding(peer)) == 1


# Looks, ends


def test_a_look_at_a_quiet_session_finds_it_alive(peer, session):
    assert session.look() == (True, None, None)
    peer.says(selected(("1",)))
    assert run(session).rows == [[1]]


def test_a_look_takes_what_came_unasked_and_finds_the_session_alive(peer, session):
    peer.says(says.noticed(), says.notified(), message(b"S", b"TimeZone\0UTC\0"))

    assert session.look().alive
    assert session.clean


def test_a_look_at_half_a_message_leaves_it_for_the_next_flight(peer, session):
    notice = says.noticed()
    peer.says(notice[:9])
    assert session.look().alive
    peer.says(notice[9:], selected(("1",)))

    assert run(session).rows == [[1]]


def test_a_look_reads_the_servers_last_words(peer, session):
    peer.says(says.noticed(), says.refused("57P05", "idle-session timeout", "FATAL"))
    peer.hangs_up()

    sighting = session.look()
    assert (sighting.alive, sighting.sqlstate) == (False, "57P05")
    assert "idle-session timeout" in (sighting.message or "")


@pytest.mark.parametrize("last", [b"", b"E\0\0", b"Z"])
def test_a_look_sees_that_the_server_left_without_a_word(peer, session, last):
    peer.says(last)
    peer.hangs_up()

    assert not session.look().alive


@pytest.mark.parametrize(
    "stray",
    [
        ready(),
        selected(("666",)),
        message(b"?"),
        b"N\0\0\0\x03",
        b"N\xff\xff\xff\xff",
        b"S\0\0\0\0",
        message(b"A", b"\0"),
        message(b"S", b"client_encoding\0nonsense\0"),
    ],
)
@pytest.mark.timeout(10)
def test_a_look_at_what_cannot_be_finds_the_session_unusable_and_does_not_fail(
    peer, session, stray
):
    peer.says(stray, b"\0" * 8)

    assert not session.look().alive


def test_a_notification_in_any_alphabet_ends_no_session(peer, session):
    peer.says(says.notified("kanal", "größer"))

    assert session.look().alive


def test_closing_says_goodbye_once_and_never_fails(peer, session):
    session.close()
    session.close()

    assert peer.heard_messages() == [(b"X", b"")]
    assert peer.socket.recv(1) == b""
    assert not session.whole


def test_closing_a_session_whose_peer_is_gone_does_not_fail(peer, session):
    peer.hangs_up()
    session.close()


def test_closing_a_session_out_of_sync_sends_nothing_into_the_middle_of_a_flight(peer, session):
    session._protocol.begin(Exchange())
    session.close()

    assert peer.heard() == b""


def test_abandoning_says_not_a_word(peer, session):
    assert session._connection._busy.acquire(blocking=False)  # by a thread of the parent's
    session.abandon()

    assert peer.heard() == b""
    assert not session.whole
    assert not session.in_flight


def test_closing_wakes_the_thread_that_waits_for_an_answer(peer, session):
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            run(session)
        except ConnectionLost as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    peer.socket.recv(1)  # its statement has arrived
    session.close()
    thread.join()

    assert raised


def test_a_second_thread_is_refused_and_the_first_ones_answer_is_its_own(peer, session):
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(run(session)))
    thread.start()
    peer.socket.recv(1)
    with pytest.raises(UsageError, match="in use by another thread"):
        run(session)
    peer.says(selected(("1",)))
    thread.join()

    assert replies[0].rows == [[1]]
    assert session.clean


def test_no_secret_is_in_what_a_session_shows(session):
    assert "s3cret" not in f"{session!r} {session}"
    assert repr(session) == f"<Session {session.number} idle>"


# Start-up


def test_a_refused_start_up_raises_what_the_server_said(peer):
    peer.says(says.refused("53300", "sorry, too many clients already", "FATAL"))
    with pytest.raises(TooManyConnections, match="too many clients") as raised:
        peer.session()

    assert raised.value.sqlstate == "53300"


def test_a_start_up_that_breaks_off_is_a_lost_connection(peer):
    peer.says(message(b"R", b"\0\0\0\0"))
    peer.finishes()
    with pytest.raises(ConnectionLost):
        says.started(peer.channel())


def test_a_server_that_is_ready_before_it_let_the_client_in_is_refused(peer):
    """Or a server that was asked to prove that it knows the password need not."""
    peer.says(message(b"R", pack("!i", 10) + b"SCRAM-SHA-256\0\0"), ready())
    with pytest.raises(ProtocolError):
        says.started(peer.channel())


# The simple protocol


def test_a_query_is_one_message(peer, session):
    peer.says(says.described(("n", INT4)), row("1"), done("SELECT 1"), ready())

    assert session.query(b"select 1", LIMITLESS).rows == [[1]]
    assert codes(peer) == b"Q"


def test_a_refused_query_leaves_the_session_as_usable_as_before(peer, session):
    peer.says(says.refused("42601"), ready())
    with pytest.raises(StatementError):
        session.query(b"selec", LIMITLESS)

    assert session.clean


def test_a_query_of_many_statements_gives_the_rows_of_all(peer, session):
    columns = says.described(("n", INT4))
    peer.says(columns, row("1"), done("SELECT 1"), done("SET"), columns, row("2"))
    peer.says(done("SELECT 1"), ready())
    reply = session.query(b"select 1; set x = 1; select 2", LIMITLESS)

    assert (reply.rows, reply.row_count) == ([[1], [2]], 2)


# Prepared statements


def test_a_prepared_statement_is_described_once_and_executed_by_name(peer, session):
    peer.says(says.PARSED, message(b"t", pack("!hi", 1, INT4)), says.described(("n", INT4)))
    peer.says(ready())
    prepared = session.prepare(b"s1", b"select $1::int4", LIMITLESS)
    assert codes(peer) == b"PDS"
    assert (prepared.oids, [field.name for field in prepared.described]) == ((INT4,), ["n"])
    peer.says(says.BOUND, says.described(("n", INT4)), row("7"), done("SELECT 1"), ready())

    assert session.execute_prepared(prepared, [7], LIMITLESS).rows == [[7]]
    sent = peer.heard_messages()
    assert b"".join(code for code, _ in sent) == b"BDES"
    assert sent[0][1].startswith(b"\0s1\0")
    peer.says(message(b"3"), ready())
    session.close_prepared(prepared, LIMITLESS)
    assert peer.heard_messages() == [(b"C", b"Ss1\0"), (b"S", b"")]
    assert session.clean


# Types of the database's own

OWN = 70_000


def test_a_type_of_the_databases_own_is_looked_up_once(peer, session):
    answer = selected(("{a,b}",), columns=(("tags", OWN),))
    peer.answers(answer, looked_up())
    assert run(session).rows == [[["a", "b"]]]
    assert codes(peer).count(b"P") == 2
    peer.says(answer)

    assert run(session).rows == [[["a", "b"]]]
    assert codes(peer).count(b"P") == 1


def looked_up() -> bytes:
    """Return the catalog's answer: OWN is an array of a type that is an enum."""
    names = ("oid", "name", "schema", "kind", "parts", "delimiter")
    kinds = (
        (str(OWN), "_tag", "public", "array", str(OWN + 1), ","),
        (str(OWN + 1), "tag", "public", "e", None, ","),
    )
    return selected(*kinds, columns=tuple((name, TEXT) for name in names))


def test_a_session_that_ends_in_the_look_up_may_have_run_the_statement(peer, session):
    """It has: or a write that returns an array of an enum would be done again."""
    peer.says(selected(("{a,b}",), columns=(("tags", OWN),)))
    peer.finishes()
    with pytest.raises(ConnectionLost) as raised:
        run(session)

    assert raised.value.may_have_run


def test_a_deadline_that_passes_before_the_look_up_leaves_the_statement_in_doubt(
    peer, session, monkeypatch
):
    """It is committed: a session that is whole would say that nothing was sent."""
    clock = FakeClock()
    unknown = session._types.unknown

    def late(*args: Any) -> Any:
        clock.advance(SOON)
        return unknown(*args)

    monkeypatch.setattr(session._types, "unknown", late)
    peer.says(selected(("{a,b}",), columns=(("tags", OWN),)))
    with pytest.raises(DeadlineExceeded):
        session.execute(b"select 1", [()], Deadline.after(SOON, clock), rides=False)

    assert not session.whole


def test_a_deadline_that_passes_before_the_look_up_spares_a_transactions_session(
    peer, session, monkeypatch
):
    clock = FakeClock()

    def late(*_: Any) -> list[int]:
        clock.advance(SOON)
        return [OWN]

    monkeypatch.setattr(session._types, "unknown", late)
    peer.says(selected(("{a,b}",), columns=(("tags", OWN),), status=b"T"))
    with pytest.raises(DeadlineExceeded):
        session.execute(b"select 1", [()], Deadline.after(SOON, clock), rides=False)

    assert session.whole


def test_a_statement_whose_types_the_server_does_not_tell_was_not_refused(peer, session):
    """A StatementError says that nothing was kept, but it is committed."""
    peer.answers(selected(("{a,b}",), columns=(("tags", OWN),)), says.refused("42501") + ready())
    with pytest.raises(ProtocolError, match="looked up"):
        run(session)

    assert session.clean


# COPY

COPY_IN = message(b"G", b"\0\0\0")
COPY_OUT = message(b"H", b"\0\0\0")


MARKED = message(b"3") + ready()


def test_a_copy_without_a_stream_is_failed_with_no_sync_more_than_there_were_answers(peer, session):
    """One Sync too many is one ReadyForQuery too many: the next answer would be another's."""
    peer.says(COPY_IN, says.refused("57014"), ready())
    with pytest.raises(StatementError):
        session.query(b"copy t from stdin", LIMITLESS)
    assert codes(peer) == b"Qf"
    peer.answers(says.PARSED + says.BOUND + COPY_IN, says.refused("57014") + ready() + MARKED)
    with pytest.raises(StatementError):
        run(session, b"copy t from stdin")

    assert codes(peer) == b"PBDES" + b"fSCS"
    assert session.clean


@pytest.mark.parametrize("reads_no_sync", [True, False])
def test_a_copy_that_fails_before_it_reads_anything_leaves_no_answer_for_the_next(
    peer, session, reads_no_sync
):
    """As by a trigger before the statement: the server then answers one Sync more."""
    failed = says.refused("P0001") + ready()
    begun = says.PARSED + says.BOUND + COPY_IN
    early, late = (failed, ready()) if reads_no_sync else (b"", failed)
    peer.answers(begun + early, late + MARKED)
    with pytest.raises(StatementError) as raised:
        run(session, b"copy t from stdin", manner=Manner(stream=io.BytesIO(b"1\n")))
    assert raised.value.sqlstate == "P0001"
    assert session.clean
    peer.says(selected(("7",)))

    assert run(session).rows == [[7]]


def test_a_copy_in_sends_what_its_stream_gives(peer, session):
    begun = says.PARSED + says.BOUND + says.NO_DATA + COPY_IN
    peer.answers(begun, done("COPY 3") + ready() + MARKED)
    stream = ["1\n", b"2\n", "å\n"]
    reply = run(session, b"copy t from stdin", manner=Manner(stream=stream))

    sent = peer.heard_messages()
    assert b"".join(code for code, _ in sent) == b"PBDES" + b"dcSCS"
    assert sent[5][1] == "1\n2\nå\n".encode()
    assert (reply.row_count, session.clean) == (3, True)


def test_a_copy_in_whose_stream_fails_keeps_nothing_and_raises_the_streams_own_error(peer, session):
    def lines() -> Iterator[bytes]:
        yield b"1\n"
        raise ConnectionLost("somewhere else")

    peer.answers(says.PARSED + says.BOUND + COPY_IN, says.refused("57014") + ready() + MARKED)
    with pytest.raises(ConnectionLost, match="somewhere else"):
        run(session, b"copy t from stdin", manner=Manner(stream=lines()))

    assert b"f" in codes(peer)
    assert session.clean
    assert not session.lost


class Endless:
    def read(self, size: int) -> bytes:
        return b"x" * size


def test_a_query_whose_copy_the_server_refuses_is_over_at_once(peer, session):
    peer.says(COPY_IN, says.refused("22P02"), ready())
    with pytest.raises(StatementError):
        session.query(b"copy t from stdin", Deadline.after(30), Manner(stream=Endless()))

    assert codes(peer) == b"Q"
    assert session.clean


def test_a_copy_in_that_the_server_refuses_is_not_sent_to_its_end(peer, session):
    heard = bytearray()

    def serve() -> None:
        while not heard.endswith(messages.close_statement(b"") + messages.SYNC):
            heard.extend(peer.socket.recv(1 << 20))
            if len(heard) > 1_000_000 and not refusal.is_set():
                peer.says(says.refused("22P02"))
                refusal.set()
        peer.says(ready(), MARKED)

    refusal = threading.Event()
    peer.says(COPY_IN)
    server = threading.Thread(target=serve)
    server.start()
    with pytest.raises(StatementError):
        session.execute(
            b"copy", [()], Deadline.after(30), rides=False, manner=Manner(stream=Endless())
        )
    server.join()

    assert session.clean


def test_a_copy_out_is_written_to_its_stream(peer, session):
    data = [message(b"d", b"1\n"), message(b"d", b"2\n"), message(b"c")]
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, COPY_OUT, *data, done("COPY 2"), ready())
    stream = io.BytesIO()
    reply = run(session, b"copy t to stdout", manner=Manner(stream=stream))

    assert stream.getvalue() == b"1\n2\n"
    assert reply.row_count == 2


def test_a_copy_out_without_a_stream_is_an_error_and_the_session_is_kept(peer, session):
    peer.says(says.PARSED, says.BOUND, COPY_OUT, message(b"d", b"1\n"), message(b"c"))
    peer.says(done("COPY 1"), ready())
    with pytest.raises(UnsafeStatement, match="needs a stream"):
        run(session, b"copy t to stdout")

    assert session.clean


def test_a_stream_that_fails_leaves_a_session_that_is_not_clean(peer, session):
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError("disk full")

    peer.says(says.PARSED, says.BOUND, COPY_OUT, message(b"d", b"1\n"), done("COPY 1"), ready())
    with pytest.raises(OSError, match="disk full"):
        run(session, b"copy t to stdout", manner=Manner(stream=Full()))

    assert not session.clean
    assert session.gave_up


# Answers that are another statement's


def test_a_ready_for_query_that_answers_nothing_is_no_answer(peer, session):
    """It belongs to a Sync of before: the answers from here on would be shifted by one."""
    peer.says(ready(), selected(("1",)))
    with pytest.raises(ProtocolError):
        run(session)

    assert not session.whole


def test_an_empty_statement_does_not_take_the_answer_of_the_one_behind_it(peer, session):
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, message(b"I"))
    peer.says(says.PARSED, says.BOUND, row("5"), done("SELECT 1"), ready())
    reply = run(session, b"", afterwards=b"select 5")

    assert (reply.rows, reply.afterwards) == ([], b"5")


def test_half_an_answer_that_nobody_asked_for_is_given_to_nobody(peer, session):
    stray = row("666")
    peer.says(stray[:3])

    assert not session.look().alive
    assert not session.whole


def test_another_encoding_than_utf8_ends_the_session_before_a_value_is_wrong(peer, session):
    peer.says(says.PARSED, says.BOUND, says.NO_DATA, done("SET"))
    peer.says(message(b"S", b"client_encoding\0LATIN1\0"), ready())
    with pytest.raises(ProtocolError, match="LATIN1"):
        run(session, b"set client_encoding to latin1")

    assert not session.whole


def test_the_servers_error_is_not_taken_for_its_last_words(peer, session):
    """The statement was not sent to its end, and the session broke off: the one said nothing."""
    peer.says(says.refused("23505", "duplicate key"))
    peer.hangs_up()
    with pytest.raises(ConnectionLost) as raised:
        run(session, b"select '" + b"x" * 100_000 + b"'")

    assert "duplicate" not in str(raised.value)
    assert not raised.value.may_have_run


# Secrets


def test_a_password_that_cannot_be_encoded_is_not_in_the_error():
    with pytest.raises(AuthenticationFailed) as raised:
        StartUp({"user": "app"}, "s3cret\ud800")

    assert "s3cret" not in repr(raised.value)
    assert raised.value.__suppress_context__


def test_what_cannot_be_read_is_not_in_the_error(peer, session):
    peer.says(message(b"E", b"\xffs3cret\0\0"))
    with pytest.raises(ProtocolError) as raised:
        run(session)

    assert "s3cret" not in str(raised.value)
