"""The server's and pg8000's errors, as ours. The one place that matches message text."""

from __future__ import annotations

from collections.abc import Mapping

from broker.errors import (
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConnectionLost,
    IntegrityError,
    SerializationFailure,
    ServerUnavailable,
    StatementCanceled,
    StatementError,
    TooManyConnections,
    TransactionAborted,
    WriteRefused,
)

Fields = Mapping[str, str]
"""An ErrorResponse: field letter → text. C is the SQLSTATE, M the message, V the severity."""

# PgBouncer reports all of its own refusals as 08P01, so here, and only here, text decides.
_POOLER_IS_FULL = ("no more connections allowed", "query_wait_timeout")
_POOLER_HAS_NO_SERVER = ("server login has been failing", "server DNS lookup failed")
_POOLER_GAVE_UP_IDLE = ("client_idle_timeout",)
# It drains: said to a client that waits for a server, or would have to (objects.c, pause_client).
_POOLER_DRAINS = ("server shutting down",)
_POOLER_REFUSED_LOGIN = (
    "SASL authentication failed",
    "password authentication failed",
    "no such user",
)

# The server ended the session while it waited for a statement: what was sent was never read.
_ENDED_WHILE_IDLE = frozenset({"57P05", "25P03"})

TOO_MANY_CONNECTIONS = "53300"
CANCELED = "57014"
READ_ONLY = "25006"
ABORTED = "25P02"
# in (:ids) reads a list as one value; in :ids is no SQL; id = :ids has no such operator.
_OF_A_LIST = frozenset({"22P02", "42601", "42883"})
LIST_ADVICE = "a list is sent as an array: = any(:ids) in place of in (…); a tuple is sent as a row"
_STARTING_OR_STOPPING = frozenset({"57P01", "57P02", "57P03"})
_AUTHENTICATION = frozenset({"28000", "28P01"})
# Their DETAIL is the whole row, and an error's text ends up in a log; `detail` has it all the same.
_DETAIL_IS_A_ROW = frozenset({"23502", "23514", "44000"})
_DETAIL_IS_A_KEY = "ExecFindPartition"  # the routine (R): 23514 for a row that no partition takes


def is_fatal(fields: Fields) -> bool:
    """Tell whether the session ends with this error."""
    return (fields.get("V") or fields.get("S")) in ("FATAL", "PANIC")


def statement_error(fields: Fields, *, lists: bool = False) -> StatementError:
    """Return the error of a statement that the server refused, the session being intact.

    `lists`: whether a parameter was a list or a tuple, which is what such a refusal is then about.
    """
    sqlstate = fields.get("C", "")
    if sqlstate == ABORTED:
        return TransactionAborted(sqlstate=sqlstate, fields=fields)
    kind = StatementError
    if sqlstate.startswith("23"):
        kind = IntegrityError
    elif sqlstate in ("40001", "40P01"):
        kind = SerializationFailure
    elif sqlstate == CANCELED:
        kind = StatementCanceled
    elif sqlstate == READ_ONLY:
        kind = WriteRefused
    message = fields.get("M", "the server gave no message")
    is_row = sqlstate in _DETAIL_IS_A_ROW and fields.get("R") != _DETAIL_IS_A_KEY
    said = "H" if is_row else "DH"
    extra = "".join(f" ({fields[letter]})" for letter in said if letter in fields)
    if lists and sqlstate in _OF_A_LIST:
        extra += f" ({LIST_ADVICE})"
    return kind(message + extra, sqlstate=sqlstate, fields=fields)


def session_ended(fields: Fields) -> ConnectionLost:
    """Return the error of a session that the server or the pooler ended, and said why."""
    return ConnectionLost(
        f"the server ended the session: {fields.get('M', 'no message')}",
        sqlstate=fields.get("C"),
        may_have_run=not _nothing_ran(fields),
    )


def _nothing_ran(fields: Fields) -> bool:
    """Tell whether a session that ended with this error surely ran nothing of the last flight."""
    return fields.get("C") in _ENDED_WHILE_IDLE or _pooler_says(
        fields,
        (*_POOLER_IS_FULL, *_POOLER_HAS_NO_SERVER, *_POOLER_GAVE_UP_IDLE, *_POOLER_DRAINS),
    )


def _pooler_says(fields: Fields, starts: tuple[str, ...]) -> bool:
    return fields.get("C") == "08P01" and fields.get("M", "").startswith(starts)


def connect_error(fields: Fields) -> BrokerError:
    """Return the error of a connection attempt that the server or the pooler refused."""
    sqlstate, message = fields.get("C", ""), fields.get("M", "no message")
    if sqlstate == TOO_MANY_CONNECTIONS or _pooler_says(fields, _POOLER_IS_FULL):
        return TooManyConnections(message, sqlstate=sqlstate)
    if sqlstate in _STARTING_OR_STOPPING or _pooler_says(
        fields, (*_POOLER_HAS_NO_SERVER, *_POOLER_DRAINS)
    ):
        return ServerUnavailable(message, sqlstate=sqlstate)
    if sqlstate in _AUTHENTICATION or _pooler_says(fields, _POOLER_REFUSED_LOGIN):
        advice = AuthenticationFailed().args[0]
        return AuthenticationFailed(f"{message}. {advice}", sqlstate=sqlstate)
    return ConnectError(message, sqlstate=sqlstate)
