"""A write that was refused as read-only (25006): by a writer that is one no longer, or as asked.

During a switch-over the name still leads to the old writer, or a pooler still has sessions with it:
another attempt, on a session of its own, will do. A transaction that is read-only because somebody
asked for it is refused on every server. So the server is asked, once it has refused.
"""

from __future__ import annotations

from contextlib import suppress

from broker.deadline import Deadline
from broker.errors import BrokerError, ConnectError, WriteRefused
from broker.wire import Session, Status

ASK = b"""select pg_is_in_recovery() or exists (
    select from pg_settings where name = 'default_transaction_read_only' and setting = 'on'
    and source in ('default', 'environment variable', 'configuration file', 'command line'))"""
"""Not where the role, the database or the session set it: that is the user's own wish."""
PATIENCE_S = 10.0
"""RDS' names may be kept for 5 s, and the plan's pooler asks for them every 5 s (dns_max_ttl)."""
DOUBTS = 4
"""Further attempts where each server that was asked is a writer: a pooler may have asked another
one than refused, and a function may make its own transaction read-only."""


def examine(session: Session, deadline: Deadline) -> None:
    """Ask the session's server about its last refusal, and roll back what is open. Never raises.

    The rollback goes in the same flight: so a pooler asks the server that refused. Where that is
    read-only, the session is `demoted` from here on.
    """
    refused, session.refused = session.refused, None
    if refused is None or not session.whole:
        return
    begin = None if session.status is Status.IDLE else b"rollback"
    with suppress(BrokerError):
        reply = session.execute(ASK, [()], deadline, begin=begin, rides=False)
        refused.by_server = session.demoted = bool(reply.rows[0][0])


def sends_again(attempt: int, since_s: float, *, seen: bool) -> bool:
    """Tell whether to send a statement again that was refused in attempt number `attempt + 1`,
    this long after the first; `seen` is whether a read-only server was, in any of them. Pure.
    """
    return since_s < PATIENCE_S if seen else attempt < DOUBTS


def runs_again(error: BrokerError, attempt: int, attempts: int, since_s: float) -> bool:
    """Tell whether to run a transaction again that failed so in attempt number `attempt + 1`. Pure.

    A read-only server is given its time, however many attempts that takes.
    """
    if isinstance(error, ConnectError) and error.gave_up:
        return False
    if isinstance(error, WriteRefused):
        return attempts > 1 and error.by_server is not False and since_s < PATIENCE_S
    return error.retryable and attempt + 1 < attempts
