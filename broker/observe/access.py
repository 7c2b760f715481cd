"""Access: why a server did not let us in, and what that means. Pure."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from enum import Enum

from broker.errors import (
    AuthenticationFailed,
    BrokerError,
    DeadlineExceeded,
    ProtocolError,
    TlsFailed,
    TooManyConnections,
)

POOLER = "08P01"  # PgBouncer reports all of its own refusals so (FACTS 2)
TOO_MANY = "53300"

# The server's routine that refuses (its field R): the same in every language of the server's.
_ROUTINES = {
    "InitializeSessionUserId": "ROLE_FULL",
    "CheckMyDatabase": "DATABASE_FULL",
    "InitPostgres": "RESERVED",
}
_SQLSTATES = {
    "57P01": "STARTING",
    "57P02": "STARTING",
    "57P03": "STARTING",
    "3D000": "NO_DATABASE",
    "42501": "NOT_ALLOWED",
}
# What a pooler passes on of the server that refused its own login.
_PASSED_ON = {TOO_MANY: "BEHIND", "28P01": "POOLER_HAS_NO_SERVER", "28000": "POOLER_HAS_NO_SERVER"}


class Access(Enum):
    """What stopped us, and what that means."""

    FULL = "every place is taken, the reserved ones too"
    RESERVED = "what is left is reserved for other roles"
    ROLE_FULL = "the role's own CONNECTION LIMIT is reached"
    DATABASE_FULL = "the database's own CONNECTION LIMIT is reached"
    POOLER_FULL = "the pooler has no place for another client, or no server session for it in time"
    POOLER_HAS_NO_SERVER = "the pooler cannot log in to the server behind it"
    BEHIND = "a pooler answered, whose own login was refused by the server behind it (53300)"
    CONSOLE = "this is PgBouncer's admin console, not PostgreSQL"
    REFUSED = "nobody listens on that port, or a firewall answers for it"
    TIMED_OUT = "no answer came: a firewall or security group drops it, or the host is down"
    UNREACHABLE = "no route leads there"
    UNRESOLVED = "the name has no address"
    TLS = "the connection is not as secure as was asked"
    AUTHENTICATION = "the server does not accept the user or the password"
    STARTING = "the server starts, stops or fails over"
    NO_DATABASE = "the server has no database of this name"
    NOT_ALLOWED = "the role may not connect to this database"
    NOT_POSTGRESQL = "what answered does not speak PostgreSQL's protocol"
    HUNG_UP = "the other side hung up meanwhile, as what is no PostgreSQL does"
    OTHER = "the server refused for a reason of its own"


AWAY = frozenset(
    {
        Access.REFUSED,
        Access.TIMED_OUT,
        Access.UNREACHABLE,
        Access.UNRESOLVED,
        Access.STARTING,
        Access.HUNG_UP,
    }
)
"""No server is there for anybody; all others are a matter of places, or of who asks."""


def server_fields(error: BaseException) -> Mapping[str, str]:
    """Return the server's ErrorResponse behind an error, by field letter; none where it gave none.

    C is the SQLSTATE, M the message, R the server's routine.
    """
    for each in _chain(error):
        given = getattr(each, "fields", None) or (each.args and each.args[0])
        if isinstance(given, dict):  # of ours, or of the error that db.session() raises
            return {str(key): str(value) for key, value in given.items()}
    return {}


def classify(error: BrokerError) -> Access:
    """Return what stopped a session from being opened or used."""
    fields = server_fields(error)
    sqlstate = fields.get("C") or error.sqlstate or ""
    if "R" not in fields and sqlstate in _PASSED_ON:  # PostgreSQL itself always gives R
        return Access[_PASSED_ON[sqlstate]]
    if sqlstate == TOO_MANY:
        return Access[_ROUTINES.get(fields.get("R", ""), "FULL")]
    if sqlstate == POOLER:
        return _pooler(error, fields)
    if sqlstate in _SQLSTATES:
        return Access[_SQLSTATES[sqlstate]]
    if isinstance(error, AuthenticationFailed):
        return Access.AUTHENTICATION
    if isinstance(error, TlsFailed):
        return Access.TLS
    if isinstance(error, ProtocolError):
        return Access.NOT_POSTGRESQL
    return Access.OTHER if sqlstate else _network(error)


def _pooler(error: BrokerError, fields: Mapping[str, str]) -> Access:
    if isinstance(error, TooManyConnections):
        return Access.POOLER_FULL
    if isinstance(error, AuthenticationFailed):
        return Access.AUTHENTICATION
    message = fields.get("M", "")
    if "admin console" in message:  # its words are all that tell it apart
        return Access.CONSOLE
    if "no such database" in message:
        return Access.NO_DATABASE
    return Access.POOLER_HAS_NO_SERVER


def _network(error: BrokerError) -> Access:
    for each in _chain(error):
        if isinstance(each, (socket.gaierror, UnicodeError)):
            return Access.UNRESOLVED
        if isinstance(each, ConnectionRefusedError):
            return Access.REFUSED
        if isinstance(each, ssl.SSLEOFError):
            return Access.HUNG_UP
        if isinstance(each, OSError) and each.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return Access.UNREACHABLE
        if isinstance(each, (TimeoutError, DeadlineExceeded)):
            return Access.TIMED_OUT
    return Access.HUNG_UP


def first_words(error: BrokerError) -> str:
    """Return what the attempt itself said, without what was added to it on the way up."""
    own = [each for each in _chain(error) if isinstance(each, BrokerError)]
    return str(own[-1])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes; one that is its own cause, once."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__
