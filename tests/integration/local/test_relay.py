"""The relay passes on what it gets, counts flights, fails as told, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pg8000.native
import pytest

from broker.local.process import LOOPBACK, free_port
from broker.local.relay import Relay
from broker.local.relayed import HELD_BYTES, RECEIVE_BYTES, Relayed, Way
from tests.conftest import Database
from tests.wait import wait_until

PATIENCE_S = 30.0


class Ends:
    """A client's socket and a server's, with a relay between them."""

    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self.relay = relay
        self.client = client
        self.server = server
        (self.relayed,) = relay.connections


@contextlib.contextmanager
def relayed_ends(delay_s: float = 0.0) -> Iterator[Ends]:
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        Relay(listener.getsockname()[1], delay_s=delay_s) as relay,
        socket.create_connection((LOOPBACK, relay.port), PATIENCE_S) as client,
    ):
        listener.settimeout(PATIENCE_S)
        server, _ = listener.accept()
        server.settimeout(PATIENCE_S)
        with server:
            yield Ends(relay, client, server)


@pytest.fixture
def ends() -> Iterator[Ends]:
    with relayed_ends() as made:
        yield made


def receive(sock: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = sock.recv(size - len(received))
        assert data, f"the end came after {len(received)} of {size} bytes"
        received += data
    return received


def connect(database: Database, relay: Relay) -> pg8000.native.Connection:
    return pg8000.native.Connection(
        database.user,
        host=relay.host,
        port=relay.port,
        password=database.password,
        database=database.name,
        ssl_context=False,
    )


@pytest.mark.parametrize("delay_s", [0.0, 0.001])
def test_it_passes_everything_on_in_order(delay_s: float) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: more than it holds
    with relayed_ends(delay_s) as ends:
        sender = threading.Thread(target=ends.client.sendall, args=(data,))
        sender.start()
        assert receive(ends.server, len(data)) == data
        sender.join()
        ends.server.sendall(b"thanks")
        assert receive(ends.client, 6) == b"thanks"


def test_nothing_is_earlier_than_the_delay() -> None:
    with relayed_ends(delay_s=0.02) as ends:
        begun_s = time.monotonic()
        ends.client.sendall(b"ping")
        ends.server.sendall(receive(ends.server, 4))
        assert receive(ends.client, 4) == b"ping"
        assert time.monotonic() - begun_s >= 2 * 0.02


def test_a_flight_is_a_write_of_the_client_after_an_answer(ends: Ends) -> None:
    for expected in (1, 2):
        for _ in range(3):  # however many writes it takes
            ends.client.sendall(b"ask")
            receive(ends.server, 3)
        ends.server.sendall(b"answer")
        receive(ends.client, 6)
        assert ends.relayed.flights == expected
    assert ends.relay.flights == 2


def test_it_counts_the_flights_of_postgres_clients(database: Database) -> None:
    with Relay(database.server.port) as relay, connect(database, relay) as client:
        (relayed,) = relay.connections
        before = relayed.flights
        client.run("select 1")
        assert relayed.flights - before == 1
        client.run("select :n", n=1)
        assert relayed.flights - before == 1 + 3  # Parse, Describe, Bind: FACTS 1


def test_flights_of_ended_connections_still_count(database: Database) -> None:
    with Relay(database.server.port) as relay:
        with connect(database, relay) as client:
            client.run("select 1")
            seen = relay.flights
        wait_until(lambda: not relay.connections, "the connection's end")
        assert relay.flights >= seen > 0


def test_a_paused_way_holds_what_comes_and_the_other_does_not(ends: Ends) -> None:
    ends.relayed.pause(Way.TO_CLIENT)
    ends.client.sendall(b"commit")
    assert receive(ends.server, 6) == b"commit"
    ends.server.sendall(b"done")
    wait_until(lambda: ends.relayed.held(Way.TO_CLIENT) == 4, "the answer to be held")
    ends.relayed.resume()
    assert receive(ends.client, 4) == b"done"
    assert ends.relayed.held(Way.TO_CLIENT) == 0


def test_a_paused_connection_holds_no_more_than_it_may(ends: Ends) -> None:
    ends.relayed.pause()
    ends.client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ends.client.sendall(bytes(4 * HELD_BYTES + (64 << 20)))
    assert HELD_BYTES <= ends.relayed.held(Way.TO_SERVER) <= HELD_BYTES + RECEIVE_BYTES


def test_a_reset_reaches_both_sides(ends: Ends) -> None:
    ends.relayed.reset()
    for sock in (ends.client, ends.server):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert not ends.relayed.open
    assert ends.relay.connections == ()


def test_a_reset_by_one_side_reaches_the_other(ends: Ends) -> None:
    ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    ends.server.close()
    with pytest.raises(ConnectionResetError):
        ends.client.recv(1)


def test_a_close_reaches_both_sides(ends: Ends) -> None:
    ends.relayed.close()
    assert ends.client.recv(1) == b""
    assert ends.server.recv(1) == b""


def test_a_side_that_has_said_all_can_still_listen(ends: Ends) -> None:
    ends.client.shutdown(socket.SHUT_WR)
    assert ends.server.recv(1) == b""
    wait_until(lambda: ends.relayed.ended(Way.TO_SERVER), "the client's end to be passed on")
    assert not ends.relayed.ended(Way.TO_CLIENT)
    ends.server.sendall(b"last words")
    ends.server.close()
    assert receive(ends.client, 10) == b"last words"
    assert ends.client.recv(1) == b""
    wait_until(lambda: not ends.relay.connections, "the connection's end")


def test_controls_of_an_ended_connection_do_nothing(ends: Ends) -> None:
    ends.relayed.close()
    for control in (Relayed.pause, Relayed.resume, Relayed.close, Relayed.reset):
        control(ends.relayed)
    ends.relay.stop()
    ends.relayed.reset()


def test_without_a_server_the_client_is_reset() -> None:
    with Relay(free_port()) as relay, contextlib.suppress(ConnectionResetError):
        with socket.create_connection((LOOPBACK, relay.port), PATIENCE_S) as client:
            assert client.recv(1) == b""


def test_stopped_it_refuses_and_started_again_it_serves_on_the_same_port(
    database: Database,
) -> None:
    relay = Relay(database.server.port)
    with relay:
        port = relay.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), PATIENCE_S).close()
    with relay, connect(database, relay) as client:
        assert relay.port == port
        assert client.run("select 1") == [[1]]


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_it_leaves_no_thread_and_no_descriptor() -> None:
    """Stopped with connections open, of which one is paused and one is held up by the delay."""
    threads, files = threading.active_count(), descriptors()
    with socket.create_server((LOOPBACK, 0)) as listener:
        relay = Relay(listener.getsockname()[1], delay_s=60)
        with relay:
            clients = [socket.create_connection((LOOPBACK, relay.port)) for _ in range(20)]
            wait_until(lambda: len(relay.connections) == 20, "the connections")
            relay.connections[0].pause()
            for client in clients:
                client.sendall(b"hello")
        relay.stop()
        assert threading.active_count() == threads
        for client in clients:
            client.close()
    assert descriptors() == files
