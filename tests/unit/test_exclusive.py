"""A session that is lent out tells an answer that was lost for what it is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from pg8000.exceptions import DatabaseError

from broker.deadline import Deadline
from broker.errors import ConnectionLost, OutcomeUnknown, UnsafeStatement
from broker.exclusive import ExclusiveSession
from broker.guard import Guard
from broker.settings import Flavour, GuardMode
from tests.unit.wire.peer import (
    BOUND,
    PARSED,
    Peer,
    ahead,
    done,
    message,
    ready,
    refused,
    selected,
)

COPIED = PARSED + BOUND + message(b"H", b"\0\0\0") + message(b"d", b"1\n") + message(b"c")


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def lent(peer: Peer) -> ExclusiveSession:
    guard = Guard(Flavour.DIRECT, GuardMode.OFF)
    return ExclusiveSession(peer.session(), guard, Deadline.never())


def copy_what_was_written(lent: ExclusiveSession) -> None:
    lent.run("copy (insert into t values (1) returning n) to stdout", stream=io.BytesIO())


def test_a_copy_that_writes_is_unknown_when_the_answer_to_its_commit_is_lost(
    peer: Peer, lent: ExclusiveSession
) -> None:
    peer.says(ahead(), COPIED, done("COPY 1"), ready(b"T"))
    peer.finishes()
    with pytest.raises(OutcomeUnknown):
        copy_what_was_written(lent)


def test_a_copy_that_writes_has_kept_nothing_when_its_own_answer_is_lost(
    peer: Peer, lent: ExclusiveSession
) -> None:
    peer.says(ahead(), COPIED)
    peer.finishes()
    with pytest.raises(ConnectionLost):
        copy_what_was_written(lent)


def test_a_copy_that_the_server_refuses_leaves_no_transaction_open(
    peer: Peer, lent: ExclusiveSession
) -> None:
    """Its caller began none, and would not know to end it."""
    rolled_back = PARSED + BOUND + message(b"n") + done("ROLLBACK") + ready()
    peer.answers(ahead() + PARSED + refused("22012") + ready(b"E"), rolled_back, selected(("7",)))
    with pytest.raises(DatabaseError):
        copy_what_was_written(lent)

    assert lent.run("select :n", n=7) == [[7]]
    assert b"rollback\0" in peer.heard()


def test_a_copy_that_writes_is_not_sent_without_a_stream(
    peer: Peer, lent: ExclusiveSession
) -> None:
    """It would be committed, and then be told as not sent."""
    with pytest.raises(UnsafeStatement):
        lent.run("copy (insert into t values (1) returning n) to stdout")

    assert peer.heard() == b""
