"""Bytes arrive whole and in order, and no wait outlives the deadline."""

from __future__ import annotations

import socket
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.deadline import Deadline
from broker.errors import ConnectionLost, DeadlineExceeded, ResultTooLarge
from broker.wire.channel import MAX_RECEIVE_BYTES, RECEIVE_BYTES, SEND_AT_ONCE_BYTES, Channel
from tests.unit.fakes import FakeClock
from tests.unit.wire.peer import Peer


class ScriptedSocket:
    """A socket that gives one chunk a call, each after some time; b"" is the end."""

    def __init__(self, clock: FakeClock, *chunks: tuple[float, bytes | Exception]) -> None:
        self.clock = clock
        self.chunks = list(chunks)
        self.timeout: float | None = None
        self.asked: list[int] = []
        self.sent = b""

    def settimeout(self, seconds: float | None) -> None:
        """Bound the waits from here on."""
        self.timeout = seconds

    def sendall(self, data: bytes) -> None:
        """Take it."""
        self.sent += data

    def recv(self, size: int) -> bytes:
        """Give the next chunk, or time out as a socket does."""
        self.asked.append(size)
        after_s, chunk = self.chunks.pop(0) if self.chunks else (0.0, b"")
        if self.timeout is not None and after_s > self.timeout:
            self.clock.advance(self.timeout)
            raise TimeoutError
        self.clock.advance(after_s)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


def scripted(*chunks: tuple[float, bytes | Exception], seconds: float = 30) -> Channel:
    clock = FakeClock()
    sock: Any = ScriptedSocket(clock, *chunks)
    return Channel(sock, Deadline.after(seconds, clock))


def clock_of(channel: Channel) -> FakeClock:
    clock: FakeClock = channel.socket.clock  # type: ignore[attr-defined]
    return clock


WHOLE = bytes(range(40))
cuts = st.sets(st.integers(1, len(WHOLE) - 1)).map(lambda at: [0, *sorted(at), len(WHOLE)])


@given(sent=cuts, read=cuts)
def test_whatever_way_the_bytes_are_cut_they_are_read_as_they_were_sent(sent, read):
    chunks = [(0.0, WHOLE[start:end]) for start, end in pairwise(sent)]
    sock: Any = ScriptedSocket(FakeClock(), *chunks)
    channel = Channel(sock, Deadline.never())

    for start, end in pairwise(read):
        assert channel.read(end - start) == WHOLE[start:end]


def test_filling_keeps_what_is_unread_and_moves_it_to_the_start():
    channel = scripted((0, b"abcd"), (0, b"e"), (0, b"fgh"))
    assert channel.read(2) == b"ab"
    channel.fill(4)

    assert (channel.buffer, channel.position) == (b"cdefgh", 0)


def test_sending_is_not_settled_until_somebody_says_so(peer: Peer):
    channel = peer.channel()
    channel.settled = True
    channel.send(b"hello")

    assert not channel.settled
    assert peer.heard() == b"hello"


def test_what_is_written_leaves_in_one_piece_at_the_flush(peer: Peer):
    channel = peer.channel()
    channel.write(b"he")
    channel.write(b"llo")
    assert peer.heard() == b""
    channel.flush()

    assert peer.heard() == b"hello"


@pytest.mark.parametrize("size", [1, SEND_AT_ONCE_BYTES + 1])
def test_after_the_deadline_nothing_is_sent_and_the_session_stays_as_it_is(peer: Peer, size):
    channel = peer.channel(seconds=-1)
    channel.settled = True

    with pytest.raises(DeadlineExceeded):
        channel.send(b"x" * size)
    assert channel.settled
    assert peer.heard() == b""


def test_no_answer_by_the_deadline_is_the_deadline_exceeded():
    channel = scripted((31, b"late"))
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        channel.fill()
    assert clock_of(channel).monotonic() == pytest.approx(1030)


def test_an_answer_that_trickles_in_is_over_at_the_deadline():
    channel = scripted(*[(10, b"x")] * 100)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        channel.fill(100)
    assert clock_of(channel).monotonic() == pytest.approx(1030)


def test_messages_that_trickle_in_one_by_one_are_over_at_the_deadline_too():
    """As notices do, or the rows of a slow query: each fill is met, and the flight goes on."""
    channel = scripted(*[(10, b"x")] * 100)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        for _ in range(100):
            channel.fill()
            channel.position = len(channel.buffer)
    assert clock_of(channel).monotonic() <= 1030 + 10


def test_rows_that_keep_coming_do_not_carry_a_flight_over_the_deadline():
    channel = scripted(*[(1, b"x" * RECEIVE_BYTES)] * 1000)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        for _ in range(1000):
            channel.fill(100)
            channel.position = len(channel.buffer)


def test_a_new_bound_replaces_the_old():
    channel = scripted((8, b"x"), seconds=1)
    channel.bound(Deadline.after(10, clock_of(channel)))
    channel.send(b"?")
    channel.fill()

    assert channel.buffer == b"x"


def test_without_a_deadline_it_waits_for_as_long_as_it_takes():
    channel = scripted((1e9, b"x"))
    channel.bound(Deadline.never())
    channel.send(b"?")
    channel.fill()

    assert channel.buffer == b"x"


@pytest.mark.parametrize(
    "end", [b"", ConnectionResetError(104, "reset"), BrokenPipeError(32, "pipe")]
)
def test_a_peer_that_is_gone_while_an_answer_is_awaited_may_have_run_the_statement(end):
    channel = scripted((0, b"par"), (0, end))
    channel.send(b"?")

    with pytest.raises(ConnectionLost) as raised:
        channel.fill(5)
    assert raised.value.may_have_run


@pytest.mark.parametrize("size", [10, SEND_AT_ONCE_BYTES, SEND_AT_ONCE_BYTES + 1, 1_000_000])
def test_a_peer_that_is_gone_before_the_statement_was_sent_did_not_run_it(peer: Peer, size):
    channel = peer.channel()
    peer.hangs_up()

    with pytest.raises(ConnectionLost) as raised:
        channel.send(b"x" * size)
    assert not raised.value.may_have_run
    assert not channel.settled


@pytest.mark.parametrize("size", [10, SEND_AT_ONCE_BYTES + 1])
def test_a_socket_that_another_thread_closed_is_a_lost_connection(peer: Peer, size):
    """As when the invocation's end retires a session that a thread is about to use."""
    channel = peer.channel()
    peer.client_socket.close()

    with pytest.raises(ConnectionLost):
        channel.send(b"x" * size)
    assert not channel.look()


def test_both_may_send_a_great_deal_at_once_and_neither_waits_for_the_other(peer: Peer):
    """More than the buffers hold: whoever only sends would wait for ever."""
    size = 4_000_000
    channel = peer.channel(seconds=60)
    channel.buffer, channel.position = b"--unread", 2
    heard = bytearray()

    def serve() -> None:
        peer.socket.settimeout(60)
        peer.socket.sendall(b"y" * size)
        while len(heard) < size:
            heard.extend(peer.socket.recv(1 << 20))
        peer.socket.sendall(b"z")

    server = threading.Thread(target=serve)
    server.start()
    channel.send(b"x" * size)
    server.join()

    assert bytes(heard) == b"x" * size
    assert channel.read(6 + size + 1) == b"unread" + b"y" * size + b"z"


@pytest.mark.parametrize(
    "size", [SEND_AT_ONCE_BYTES - 1, SEND_AT_ONCE_BYTES, SEND_AT_ONCE_BYTES + 1]
)
def test_what_is_sent_at_once_or_in_pieces_is_the_same(peer: Peer, size):
    data = bytes(n % 251 for n in range(size))
    channel = peer.channel()
    channel.send(data)

    assert peer.heard() == data


def test_a_receiver_that_takes_nothing_does_not_hold_the_sender_past_the_deadline(peer: Peer):
    channel = peer.channel(seconds=0.05)

    with pytest.raises(DeadlineExceeded):
        channel.send(b"x" * 10_000_000)


def test_a_message_of_any_announced_length_takes_no_such_memory_at_once():
    channel = scripted((0, b"x"))
    with pytest.raises(ConnectionLost):
        channel.fill(2**31 - 1)

    sock: Any = channel.socket
    assert max(sock.asked) <= 16 * 1024 * 1024


def test_a_look_does_not_wait_and_takes_nothing_away(peer: Peer):
    channel = peer.channel()
    assert channel.look()
    peer.says(b"abc")
    assert channel.look()
    assert channel.read(3) == b"abc"


def test_a_look_sees_that_the_peer_is_gone_and_keeps_its_last_words(peer: Peer):
    channel = peer.channel()
    peer.says(b"bye")
    peer.hangs_up()

    assert not channel.look()
    assert channel.buffer == b"bye"


def test_after_a_look_a_flight_may_wait_again(peer: Peer):
    channel = peer.channel()
    channel.look()
    channel.send(b"?")

    assert channel.socket.gettimeout()
    assert channel.makefile("rwb") is channel


def test_closing_it_closes_the_socket(peer: Peer):
    channel = peer.channel()
    channel.close()
    channel.close()

    assert peer.socket.recv(1) == b""
    assert isinstance(channel.socket, socket.socket)


def test_a_look_does_not_go_on_for_as_long_as_the_server_says_something():
    channel = scripted(*[(0.0, b"x" * RECEIVE_BYTES)] * 1000)

    assert not channel.look()
    assert len(channel.buffer) <= MAX_RECEIVE_BYTES + RECEIVE_BYTES


def test_more_than_there_is_room_for_is_not_received():
    channel = scripted(*[(0.0, b"x" * RECEIVE_BYTES)] * 1000)
    channel.room = 2.5 * RECEIVE_BYTES

    with pytest.raises(ResultTooLarge):
        channel.fill(RECEIVE_BYTES * 500)

    assert len(channel.socket.asked) == 3  # type: ignore[attr-defined]
