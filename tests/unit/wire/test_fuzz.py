"""Whatever the server sends, the caller gets an answer or a typed error, and soon."""

from __future__ import annotations

import contextlib
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from struct import pack

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.deadline import SYSTEM_CLOCK, Deadline
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    ResultTooLarge,
    StatementError,
)
from broker.settings import Flavour, Settings, Tls
from broker.wire import Session, Status, connect, tls_context
from tests.unit.wire.peer import (
    BOOL,
    BOUND,
    FLOAT8,
    INT4,
    INT8,
    NO_DATA,
    PARSED,
    TEXT,
    TIMESTAMP,
    Peer,
    ahead,
    described,
    done,
    message,
    noticed,
    notified,
    ready,
    refused,
    row,
)

PATIENCE_S = 0.05  # of the caller with a server that falls silent
FLOOD_S = 0.3
BOUNDED_BYTES = 4 << 20
JSON, UUID, BYTEA, INT4_ARRAY = 114, 2950, 17, 1007

pytestmark = pytest.mark.timeout(240)
fuzzed = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

cells = st.one_of(
    st.none(),
    st.sampled_from(["1", "t", "NaN", "2020-01-01 00:00:00", "{1,2}", "{", "\\x00", "null", ""]),
    st.binary(max_size=12),
)
oids = st.sampled_from([TEXT, INT4, INT8, FLOAT8, BOOL, TIMESTAMP, JSON, UUID, BYTEA, INT4_ARRAY])
names = st.text("abé", min_size=1, max_size=3)
codes = st.binary(min_size=1, max_size=1)
lengths = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(0, 40))

well_formed = st.one_of(
    st.sampled_from(
        [
            *(PARSED, BOUND, NO_DATA, ready(), ready(b"T"), ready(b"E"), ready(b"?"), noticed()),
            *(notified(), ahead(), ahead("30s"), done("SELECT 1"), done("INSERT 0 3"), done("")),
            *(refused("23505"), refused("57P01", severity="FATAL"), refused("")),
            *(message(b"G", b"\0\0\0"), message(b"H", b"\0\0\0"), message(b"d", b"x")),
            *(message(b"c"), message(b"s"), message(b"I"), message(b"t", b"\0\0")),
            message(b"S", b"server_version\x0018\0"),
            message(b"K", pack("!ii", 1, 2)),
        ]
    ),
    st.lists(st.tuples(names, oids), max_size=3).map(lambda columns: described(*columns)),
    st.lists(cells, max_size=3).map(lambda some: row(*some)),
)
malformed = st.one_of(
    st.tuples(codes, lengths, st.binary(max_size=20)).map(
        lambda parts: parts[0] + pack("!i", parts[1]) + parts[2]
    ),
    st.tuples(codes, st.binary(max_size=20)).map(lambda parts: message(*parts)),
    st.tuples(st.sampled_from(b"DTECSKNAGZ"), st.binary(max_size=20)).map(
        lambda parts: message(bytes([parts[0]]), parts[1])
    ),
    st.binary(max_size=20),
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw what a server might send: messages in any order, some broken, cut off anywhere."""
    messages = draw(st.lists(st.one_of(well_formed, well_formed, malformed), max_size=8))
    data = b"".join(messages)
    if draw(st.booleans()):
        data += ready()
    if data and draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(codes) + data[at + 1 :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def simple(session: Session) -> None:
    """Run a statement as a lent session does."""
    session.query(b"select 1", Deadline.after(PATIENCE_S))


def single(session: Session) -> None:
    """Run a statement as db.run does."""
    session.execute(b"select 1", [()], Deadline.after(PATIENCE_S))


def within(session: Session) -> None:
    """Run a transaction's first write."""
    deadline = Deadline.after(PATIENCE_S)
    session.execute(b"insert", [()], deadline, begin=b"begin", afterwards=b"select 1")


@fuzzed
@example(message(b"T", b"\1\0"), single, False)
@example(message(b"d", b"x"), simple, False)
@example(message(b"H", b"\0\0\0") + ready(), single, False)
@example(row("soon") + ready(), single, False)
@example(ready(b"?"), single, False)
@given(answers(), st.sampled_from([simple, single, within]), st.booleans())
def test_an_answer_of_any_kind_gives_a_result_or_a_typed_error(
    data: bytes, run: Callable[[Session], None], hangs_up: bool
) -> None:
    """After it, the session is usable if the server said ReadyForQuery, and only then."""
    with closing(Peer()) as peer:
        session = peer.session()
        peer.says(data)
        if hangs_up:
            peer.finishes()
        try:
            run(session)
        except StatementError:
            assert session.whole
        except ConnectionLost:
            assert not session.whole
        except DeadlineExceeded:  # whole where this machine stood still, and nothing was sent
            assert session.whole != session.gave_up
        except BrokerError as error:  # a value alone may be wrong in an answer that is whole
            assert not session.whole or "cannot be read" in str(error) or "COPY" in str(error)
        else:
            assert session.whole
        assert session.status in Status
        session.close()


@fuzzed
@example(message(b"A") * 2, False)
@given(answers(), st.booleans())
def test_whatever_came_meanwhile_an_idle_session_is_judged(data: bytes, hangs_up: bool) -> None:
    """A look says alive or dead, and whatever it says, the next statement is safe."""
    with closing(Peer()) as peer:
        session = peer.session()
        peer.says(data)
        if hangs_up:
            peer.finishes()
        alive = session.look().alive
        if hangs_up:
            assert not alive
        with contextlib.suppress(BrokerError):
            single(session)
        session.close()


class Stranger:
    """A server on loopback that says the same to everybody, and then hangs up or does not."""

    def __init__(self) -> None:
        self.data, self.hangs_up = b"", True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                sock.sendall(self.data)
            if self.hangs_up:
                sock.close()
            else:
                self._held.append(sock)

    def forget(self) -> None:
        """Hang up on whoever was held."""
        while self._held:
            self._held.pop().close()

    def close(self) -> None:
        """Be gone."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.forget()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Let one server listen for all examples."""
    with closing(Stranger()) as listening:
        yield listening


authentication = st.one_of(
    st.tuples(st.integers(0, 13), st.binary(max_size=20)).map(
        lambda parts: message(b"R", pack("!i", parts[0]) + parts[1])
    ),
    st.just(message(b"R", pack("!i", 10) + b"SCRAM-SHA-256\0\0")),
    st.just(message(b"R", pack("!i", 11) + b"r=x,s=eA==,i=4096")),
    st.just(message(b"R", pack("!i", 0))),
)


@pytest.mark.filterwarnings(  # ssl.SSLSocket._create forgets it where the peer has reset it
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
@fuzzed
@given(
    st.lists(authentication, max_size=3).map(b"".join),
    answers(),
    st.booleans(),
    st.sampled_from([b"", b"S", b"N", b"E", b"x"]),
)
def test_a_start_up_of_any_kind_gives_a_session_or_a_typed_error(
    stranger: Stranger, asked: bytes, data: bytes, hangs_up: bool, tls: bytes
) -> None:
    stranger.data, stranger.hangs_up = tls + asked + data, hangs_up
    wanted = Settings(
        host="127.0.0.1",
        port=stranger.port,
        database="appdb",
        user="app",
        password="s3cret",
        flavour=Flavour.DIRECT,
        tls=Tls.REQUIRE if tls else Tls.OFF,
    )
    try:
        deadline = Deadline.after(PATIENCE_S)
        connect(wanted, "s3cret", tls_context(wanted), deadline, SYSTEM_CLOCK).close()
    except BrokerError as error:
        assert "s3cret" not in str(error)
    finally:
        stranger.forget()


def flood(peer: Peer, chunk: Callable[[int], bytes], over: threading.Event) -> None:
    """Send for as long as anybody reads."""
    number = 0
    with contextlib.suppress(OSError):
        while not over.is_set():
            peer.socket.sendall(chunk(number))
            number += 1


@pytest.mark.parametrize(
    "chunk",
    [
        lambda _: noticed("x" * 1000),
        lambda number: notified(f"channel{number}", "x" * 1000),
        lambda number: message(b"S", f"name{number}\0{'x' * 1000}\0".encode()),
        lambda number: described((f"column{number}", TEXT)),
        lambda _: done("SELECT 1") * 50,
        lambda _: refused("23505", "x" * 1000),
    ],
    ids=["notices", "notifications", "parameters", "descriptions", "completions", "errors"],
)
def test_a_server_that_never_stops_is_left_at_the_deadline_and_fills_no_memory(
    chunk: Callable[[int], bytes],
) -> None:
    with closing(Peer()) as peer:
        session, over = peer.session(), threading.Event()
        sender = threading.Thread(target=flood, args=(peer, chunk, over))
        tracemalloc.start()
        sender.start()
        try:
            with pytest.raises((DeadlineExceeded, ProtocolError)):
                session.execute(b"select 1", [()], Deadline.after(FLOOD_S))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            over.set()
            session.close()
            peer.socket.close()
            sender.join()
        assert peak_bytes < BOUNDED_BYTES
        assert not session.whole


@pytest.mark.parametrize("code", [b"D", b"T", b"E", b"N", b"C", b"?"])
@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_huge_message_that_does_not_come_takes_no_memory(code: bytes, hangs_up: bool) -> None:
    """What a message announces need not be true."""
    with closing(Peer()) as peer:
        session = peer.session()
        peer.says(PARSED + BOUND + described(("n", INT4)), code + pack("!i", 2**31 - 1) + b"x" * 99)
        if hangs_up:
            peer.finishes()
        tracemalloc.start()
        try:
            with pytest.raises(ConnectionLost if hangs_up else DeadlineExceeded):
                single(session)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < BOUNDED_BYTES
        assert not session.whole


LIMIT_BYTES = 1 << 20
TIME_S = 60.0  # for an answer that comes


def lent_with_time(session: Session) -> None:
    """Run a statement as a lent session does."""
    session.query(b"select 1", Deadline.after(TIME_S))


def alone_with_time(session: Session) -> None:
    """Run a statement as db.run does."""
    session.execute(b"select 1", [()], Deadline.after(TIME_S))


def much_with_time(session: Session) -> None:
    """Run a statement that takes long to send."""
    session.execute(b"x" * (8 << 20), [()], Deadline.after(TIME_S))


@pytest.mark.parametrize(
    "run", [lent_with_time, alone_with_time, much_with_time], ids=["lent", "alone", "much is sent"]
)
@pytest.mark.parametrize(
    "chunk",
    [lambda _: row("1") * 4000, lambda _: row("x" * (16 << 20))],
    ids=["many rows", "one huge row"],
)
def test_more_rows_than_there_is_room_for_are_left_unread(
    chunk: Callable[[int], bytes], run: Callable[[Session], None]
) -> None:
    """And the session, which still sends them, is not used again."""
    with closing(Peer()) as peer:
        session, over = peer.session(max_answer_bytes=LIMIT_BYTES), threading.Event()
        peer.says(PARSED + BOUND + described(("n", TEXT)))
        sender = threading.Thread(target=flood, args=(peer, chunk, over))
        sender.start()
        try:
            with pytest.raises(ResultTooLarge, match=r"^over 1 MB came\. .*BROKER_MAX_RESULT_MB"):
                run(session)
        finally:
            over.set()
            session.close()
            peer.socket.close()
            sender.join()
        assert session.gave_up
        assert not session.whole


def test_the_room_is_each_flights_own() -> None:
    with closing(Peer()) as peer:
        session = peer.session(max_answer_bytes=LIMIT_BYTES)
        for _ in range(3):
            peer.says(PARSED + BOUND + described(("n", TEXT)))
            sender = threading.Thread(
                target=peer.says, args=(row("x" * 600_000), done("SELECT 1"), ready())
            )
            sender.start()
            session.execute(b"select 1", [()], Deadline.after(TIME_S), rides=False)
            sender.join()
        assert session.whole
