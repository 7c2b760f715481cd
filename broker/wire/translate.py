"""The server's errors, as ours. The one place that matches message text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.errors import (
    AuthenticationFailed,
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
from broker.wire.parameter_advice import parameter_advice

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
_STARTING_OR_STOPPING = frozenset({"57P01", "57P02", "57P03"})
_AUTHENTICATION = frozenset({"28000", "28P01"})
_TEXTS = "MDHW"  # message, detail, hint, context
# Their DETAIL is the whole row, and an error's text ends up in a log; `detail` has it all the same.
_DETAIL_IS_A_ROW = frozenset({"23502", "23514", "44000"})
_DETAIL_IS_A_KEY = "ExecFindPartition"  # the routine (R): 23514 for a row that no partition takes


def fields_of(body: bytes) -> Fields:
    """Return the fields of an ErrorResponse or a NoticeResponse."""
    parts = body.split(b"\0")
    return {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in parts if part}


def is_fatal(fields: Fields) -> bool:
    """Tell whether the session ends with this error."""
    return (fields.get("V") or fields.get("S")) in ("FATAL", "PANIC")


def statement_error(
    fields: Fields, *, lists: bool = False, labels: Sequence[str] = ()
) -> StatementError:
    """Return the error of a statement that the server refused, the session being intact.

    `lists`: whether a parameter was a list or a tuple, which is what such a refusal is then about.
    `labels`: what the caller calls each parameter, in place of the server's $1.
    """
    fields = _in_the_callers_words(fields, labels)
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
    advice = parameter_advice(sqlstate, message, lists=lists, labels=labels)
    if advice:
        extra += f" ({advice})"
    return kind(message + extra, sqlstate=sqlstate, fields=fields)


def _in_the_callers_words(fields: Fields, labels: Sequence[str]) -> Fields:
    """Return the fields with each $n of the server's texts as the caller knows it."""
    if not labels or not any("$" in fields.get(letter, "") for letter in _TEXTS):
        return fields
    import re  # late: errors of this kind are rare

    def label(match: re.Match[str]) -> str:
        number = int(match[2])
        if not 0 < number <= len(labels):
            return match[0]
        name, before = labels[number - 1], match[1] or ""
        return name if name.startswith(before) else before + name  # "parameter 2" has the word

    texts = {letter: fields[letter] for letter in _TEXTS if letter in fields}
    return {
        **fields,
        **{key: re.sub(r"(parameter )?\$(\d{1,5})", label, t) for key, t in texts.items()},
    }


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


def connect_error(fields: Fields) -> ConnectError:
    """Return the error of a connection attempt that the server or the pooler refused."""
    error = _connect_error(fields)
    error.fields = dict(fields)
    return error


def _connect_error(fields: Fields) -> ConnectError:
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
