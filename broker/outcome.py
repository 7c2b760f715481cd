"""What became of a COMMIT whose answer was lost: asked on the server, never guessed.

The transaction's id rides along with its first write. It means something only on the server that
gave it: on a promoted standby the same id may be another transaction's, and after a crash the ids
that were not in the log yet are given again. So the server's address rides along too, and the time
since when it counts its statistics, which every recovery from a crash begins anew (PostgreSQL
manual, 27.2); a server of which either has changed is never asked. Nor is an Aurora that has
started since: what its recovery does to the statistics is not documented.
"""

from __future__ import annotations

import itertools
import random
from enum import Enum
from typing import NamedTuple, Protocol

from broker.backoff import delay_s
from broker.deadline import Clock, Deadline
from broker.errors import (
    BrokerClosed,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    ProtocolError,
    StatementError,
    outcome_unknown,
)
from broker.wire import Session

PLACE = (
    b"concat(inet_server_addr(),':',inet_server_port(),'/',"
    b"extract(epoch from pg_stat_get_bgwriter_stat_reset_time()))"
)
START = b"concat(extract(epoch from pg_postmaster_start_time()))"
TRACK = b"select concat(pg_current_xact_id_if_assigned(),'@'," + PLACE + b",'/'," + START + b")"
"""Rides after a write; one cell, with nothing before the @ where no id was assigned."""
ASK = (
    b"select case when " + PLACE + b"=$1 and not pg_is_in_recovery() "
    b"and (" + START + b"=$2 or to_regprocedure('aurora_version()') is null) "
    b"then coalesce(pg_xact_status($3::xid8),'forgotten') else 'elsewhere' end"
)


class Lender(Protocol):
    """Where a session to ask with comes from."""

    def checkout(self, deadline: Deadline) -> Session:
        """Return a session that is idle and alive."""

    def give_back(self, session: Session) -> None:
        """Take it back: kept if it is clean, retired if not."""


class TransactionId(NamedTuple):
    """A transaction's id, and which server gave it."""

    xid: str
    server: str
    """Its address, and since when it counts its statistics."""
    started: str
    """When it was started, in seconds of the epoch."""

    @classmethod
    def read(cls, cell: bytes) -> TransactionId | None:
        """Return what TRACK's answer says; None where no id was assigned yet."""
        xid, _, place = cell.decode().partition("@")
        server, _, started = place.rpartition("/")
        return cls(xid, server, started) if xid else None

    def __str__(self) -> str:
        return f"{self.xid} of {self.server}"


class Outcome(Enum):
    """What the server says of the transaction; the values are pg_xact_status' own."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    IN_PROGRESS = "in progress"
    """Until the deadline: the server has not noticed that its client is gone."""
    FORGOTTEN = "forgotten"
    """It is too old for the server to know."""
    ELSEWHERE = "elsewhere"
    """Another server answers now, or the same one as a standby or after a crash; or an Aurora that
    was started since.
    """
    UNREACHABLE = "unreachable"


_FINAL = (Outcome.COMMITTED, Outcome.ABORTED, Outcome.FORGOTTEN, Outcome.ELSEWHERE)


def look_up(
    lender: Lender, wanted: TransactionId, deadline: Deadline, clock: Clock, rng: random.Random
) -> Outcome:
    """Ask until the answer is final or the deadline is near; never raises for a lost answer."""
    for attempt in itertools.count():
        outcome = _ask(lender, wanted, deadline)
        wait_s = delay_s(attempt, rng)
        if outcome in _FINAL or wait_s >= deadline.remaining_s():
            return outcome
        clock.sleep(wait_s)
    raise AssertionError("unreachable")


def unknown_after(outcome: Outcome, hidden: OutcomeUnknown, deadline: Deadline) -> OutcomeUnknown:
    """Return the error to raise where the server could not tell: `hidden`, or one that says that
    the time was over before it could.
    """
    if outcome in _FINAL or isinstance(hidden, DeadlineExceeded):
        return hidden
    late = DeadlineExceeded.at("lookup", deadline.budget_s(), deadline.took_s(), hidden.sqlstate)
    unknown = outcome_unknown("COMMIT", late)
    unknown.__cause__ = hidden
    return unknown


def _ask(lender: Lender, wanted: TransactionId, deadline: Deadline) -> Outcome:
    try:
        session = lender.checkout(deadline)
        try:
            batch = [[wanted.server, wanted.started, wanted.xid]]
            reply = session.execute(ASK, batch, deadline, rides=False)
        finally:
            lender.give_back(session)
    except (
        BrokerClosed,
        ConnectError,
        ConnectionLost,
        DeadlineExceeded,
        ProtocolError,
        StatementError,
    ):
        return Outcome.UNREACHABLE
    return Outcome(reply.rows[0][0])
