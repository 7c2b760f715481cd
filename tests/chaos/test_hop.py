"""The hop fails exactly as it is told to: a suite on it proves nothing otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pg8000.native
import pytest

from broker.local.loop_thread import LoopThread
from tests.chaos.cut import Cut, Moment, is_commit
from tests.chaos.frames import Frontend
from tests.chaos.hop import End, Hop, Link
from tests.chaos.network import end_link, silence
from tests.conftest import Database
from tests.wait import wait_until


@pytest.fixture
def hop(database: Database) -> Iterator[Hop]:
    """Open a hop to the database."""
    loop = LoopThread("hop")
    made = Hop("client to server", loop, lambda: database.server.port)
    made.open()
    yield made
    made.close()
    loop.close()
    assert made.failures == []


@pytest.fixture
def connection(hop: Hop, database: Database) -> Iterator[pg8000.native.Connection]:
    """Connect through it, with a table of one column to write to."""
    made = pg8000.native.Connection(
        database.user,
        host=hop.host,
        port=hop.port,
        password=database.password,
        database=database.name,
        ssl_context=False,
        timeout=0.5,
    )
    made.run("create table t (k int)")
    yield made
    with contextlib.suppress(pg8000.native.InterfaceError):
        made.close()


def rows(database: Database) -> int:
    return int(database.server.admin("select count(*) from t", database=database.name)[0][0])


@pytest.mark.parametrize(
    "harm", [end_link(End.CLOSE), end_link(End.RESET), silence], ids=["close", "reset", "silence"]
)
@pytest.mark.parametrize(("moment", "kept"), [(Moment.BEFORE, 0), (Moment.AFTER, 1)])
def test_a_commit_is_cut_before_the_server_saw_it_or_after_it_answered(
    hop: Hop,
    connection: pg8000.native.Connection,
    database: Database,
    moment: Moment,
    kept: int,
    harm: Callable[[Link], None],
) -> None:
    connection.run("begin")
    connection.run("insert into t values (1)")
    cut = hop.arm(Cut(is_commit, moment, harm))
    with pytest.raises((pg8000.native.InterfaceError, OSError)):
        connection.run("commit")
    assert cut.struck.is_set()
    assert rows(database) == kept
    hop.heal()
    wait_until(lambda: database.backends() == 0, "the server to notice")


def test_a_half_open_link_holds_both_ends_and_passes_nothing(
    hop: Hop, connection: pg8000.native.Connection, database: Database
) -> None:
    [link] = hop.links()
    hop.call(link.fall_silent)
    with pytest.raises((pg8000.native.InterfaceError, OSError)):
        connection.run("insert into t values (1)")
    assert database.backends() == 1
    assert rows(database) == 0


def test_a_stalled_answer_comes_when_the_link_goes_on(
    hop: Hop, connection: pg8000.native.Connection, database: Database
) -> None:
    [link] = hop.links()
    connection._usock.settimeout(None)
    hop.call(link.pause)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(connection.run, "insert into t values (1) returning k")
        wait_until(lambda: rows(database) == 1, "the server's answer")
        assert not answer.done()
        hop.call(link.go_on)
        assert answer.result() == [[1]]


def test_answers_byte_by_byte_are_the_same_answers(
    hop: Hop, connection: pg8000.native.Connection
) -> None:
    [link] = hop.links()
    link.trickling = True
    assert connection.run("select n from generate_series(1, 50) n") == [[n] for n in range(1, 51)]


def test_messages_are_whole_however_they_arrive() -> None:
    """A flight is found in any split of its bytes, and nothing of it is lost."""
    startup = b"\0\0\0\x09\0\3\0\0\0"
    flight = b"P" + (4 + 1 + 7 + 2).to_bytes(4) + b"\0COMMIT\0\0\0"
    query = b"Q" + (4 + 9).to_bytes(4) + b"select 1\0"
    data = startup + flight + query
    for at in range(len(data)):
        frontend = Frontend()
        first, before = frontend.feed(data[:at])
        second, after = frontend.feed(data[at:])
        assert first + second == data
        assert before + after == ("commit", "select 1")
