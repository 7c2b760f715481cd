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


@given(cuts, st.integers(1, len(WHOLE)))
def test_whatever_way_the_bytes_are_cut_they_are_received_as_they_were_sent(sent, need):
    chunks = [(0.0, WHOLE[start:end]) for start, end in pairwise(sent)]
    sock: Any = ScriptedSocket(FakeClock(), *chunks)
    channel = Channel(sock, Deadline.never())

    received = channel.receive(need)
    assert len(received) >= need
    while len(received) < len(WHOLE):
        received += channel.receive()
    assert received == WHOLE


def test_what_is_needed_is_waited_for_and_no_longer():
    channel = scripted((0, b"ab"), (0, b"cde"), (0, b"f"))

    assert channel.receive(4) == b"abcde"


def test_what_is_sent_leaves_at_once(peer: Peer):
    channel = peer.channel()

    assert channel.send(b"hello") == b""
    assert peer.heard() == b"hello"


@pytest.mark.parametrize("size", [1, SEND_AT_ONCE_BYTES + 1])
def test_after_the_deadline_nothing_is_sent(peer: Peer, size):
    channel = peer.channel(seconds=-1)

    with pytest.raises(DeadlineExceeded):
        channel.send(b"x" * size)
    assert peer.heard() == b""


def test_no_answer_by_the_deadline_is_the_deadline_exceeded():
    channel = scripted((31, b"late"))
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        channel.receive()
    assert clock_of(channel).monotonic() == pytest.approx(1030)


def test_an_answer_that_trickles_in_is_over_at_the_deadline():
    channel = scripted(*[(10, b"x")] * 100)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        channel.receive(100)
    assert clock_of(channel).monotonic() == pytest.approx(1030)


def test_messages_that_trickle_in_one_by_one_are_over_at_the_deadline_too():
    """As notices do, or the rows of a slow query: each fill is met, and the flight goes on."""
    channel = scripted(*[(10, b"x")] * 100)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        for _ in range(100):
            channel.receive()
    assert clock_of(channel).monotonic() <= 1030 + 10


def test_rows_that_keep_coming_do_not_carry_a_flight_over_the_deadline():
    channel = scripted(*[(1, b"x" * RECEIVE_BYTES)] * 1000)
    channel.send(b"?")

    with pytest.raises(DeadlineExceeded):
        for _ in range(1000):
            channel.receive(100)


def test_a_new_bound_replaces_the_old():
    channel = scripted((8, b"x"), seconds=1)
    channel.begin(Deadline.after(10, clock_of(channel)), limited=True)
    channel.send(b"?")

    assert channel.receive() == b"x"


def test_without_a_deadline_it_waits_for_as_long_as_it_takes():
    channel = scripted((1e9, b"x"))
    channel.begin(Deadline.never(), limited=True)
    channel.send(b"?")

    assert channel.receive() == b"x"


@pytest.mark.parametrize(
    "end",
    [
        b"",
        ConnectionResetError(104, "reset"),
        BrokenPipeError(32, "pipe"),
        TimeoutError(110, "Connection timed out"),  # TCP's own: nobody acknowledges anything
    ],
)
def test_a_peer_that_is_gone_while_an_answer_is_awaited_may_have_run_the_statement(end):
    channel = scripted((0, b"par"), (0, end))
    channel.send(b"?")

    with pytest.raises(ConnectionLost) as raised:
        channel.receive(5)
    assert raised.value.may_have_run


@pytest.mark.parametrize("size", [10, SEND_AT_ONCE_BYTES, SEND_AT_ONCE_BYTES + 1, 1_000_000])
def test_a_peer_that_is_gone_before_the_statement_was_sent_did_not_run_it(peer: Peer, size):
    channel = peer.channel()
    peer.hangs_up()

    with pytest.raises(ConnectionLost) as raised:
        channel.send(b"x" * size)
    assert not raised.value.may_have_run


@pytest.mark.parametrize("size", [10, SEND_AT_ONCE_BYTES + 1])
def test_a_socket_that_another_thread_closed_is_a_lost_connection(peer: Peer, size):
    """As when the invocation's end retires a session that a thread is about to use."""
    channel = peer.channel()
    peer.client_socket.close()

    with pytest.raises(ConnectionLost):
        channel.send(b"x" * size)
    assert channel.look() == (b"", False)


def test_both_may_send_a_great_deal_at_once_and_neither_waits_for_the_other(peer: Peer):
    """More than the buffers hold: whoever only sends would wait for ever."""
    size = 4_000_000
    channel = peer.channel(seconds=60)
    heard = bytearray()

    def serve() -> None:
        peer.socket.settimeout(60)
        peer.socket.sendall(b"y" * size)
        while len(heard) < size:
            heard.extend(peer.socket.recv(1 << 20))
        peer.socket.sendall(b"z")

    server = threading.Thread(target=serve)
    server.start()
    received = channel.send(b"x" * size)
    server.join()
    received += channel.receive(size + 1 - len(received))

    assert bytes(heard) == b"x" * size
    assert received == b"y" * size + b"z"


def test_a_little_that_follows_a_great_deal_is_sent_while_the_other_sends_too(peer: Peer):
    """As COPY's data, with a notice for every row."""
    size, little = 4_000_000, b"x" * 100
    channel = peer.channel(seconds=60)
    heard = bytearray()

    def serve() -> None:
        peer.socket.settimeout(60)
        peer.socket.sendall(b"y" * size)
        while len(heard) < size:
            heard.extend(peer.socket.recv(1 << 20))

    server = threading.Thread(target=serve)
    server.start()
    received = b"".join(channel.send(little, at_once=False) for _ in range(size // len(little)))
    server.join()

    assert len(heard) == size
    assert received + channel.look()[0] == b"y" * size


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
        channel.receive(2**31 - 1)

    sock: Any = channel.socket
    assert max(sock.asked) <= 16 * 1024 * 1024


def test_a_look_does_not_wait_and_returns_what_came(peer: Peer):
    channel = peer.channel()
    assert channel.look() == (b"", True)
    peer.says(b"abc")
    assert channel.look() == (b"abc", True)
    assert channel.look() == (b"", True)


def test_a_look_sees_that_the_peer_is_gone_and_returns_its_last_words(peer: Peer):
    channel = peer.channel()
    peer.says(b"bye")
    peer.hangs_up()

    assert channel.look() == (b"bye", False)


def test_what_came_while_sending_failed_is_there_to_be_looked_at(peer: Peer):
    """The server's last words, as why it ended the session."""
    channel = peer.channel()
    peer.says(b"bye")
    peer.hangs_up()

    with pytest.raises(ConnectionLost):
        channel.send(b"x" * 1_000_000)
    assert channel.look() == (b"bye", False)


def test_after_a_look_an_answer_is_waited_for_again(peer: Peer):
    channel = peer.channel()
    channel.look()
    channel.arm()
    channel.send(b"?")

    assert channel.socket.gettimeout()


def test_closing_it_closes_the_socket(peer: Peer):
    channel = peer.channel()
    channel.close()
    channel.close()

    assert peer.socket.recv(1) == b""
    assert isinstance(channel.socket, socket.socket)


def test_a_look_does_not_go_on_for_as_long_as_the_server_says_something():
    channel = scripted(*[(0.0, b"x" * RECEIVE_BYTES)] * 1000)

    received, alive = channel.look()
    assert not alive
    assert len(received) <= MAX_RECEIVE_BYTES + RECEIVE_BYTES


def test_more_than_there_is_room_for_is_not_received():
    channel = scripted(*[(0.0, b"x" * RECEIVE_BYTES)] * 1000)
    channel.max_answer_bytes = 2.5 * RECEIVE_BYTES
    channel.begin(Deadline.never(), limited=True)

    with pytest.raises(ResultTooLarge):
        channel.receive(RECEIVE_BYTES * 500)

    assert len(channel.socket.asked) == 3  # type: ignore[attr-defined]


def test_without_a_limit_there_is_room_for_all_that_comes():
    channel = scripted(*[(0.0, b"x" * RECEIVE_BYTES)] * 10)
    channel.max_answer_bytes = RECEIVE_BYTES
    channel.begin(Deadline.never(), limited=False)

    assert len(channel.receive(RECEIVE_BYTES * 10)) == RECEIVE_BYTES * 10
