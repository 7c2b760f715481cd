"""One attempt to open a session: name, TCP, TLS, start-up and authentication."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping

from pg8000.exceptions import DatabaseError, Error

from broker.deadline import Clock, Deadline
from broker.errors import (
    AuthenticationFailed,
    BrokerError,
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    ServerUnavailable,
    TlsFailed,
)
from broker.settings import PEM_BEGINS, Settings, Tls
from broker.wire import translate
from broker.wire.channel import BYTES_PER_MB, Channel
from broker.wire.session import Session

_CANCEL_REQUEST = b"\0\0\0\x10\x04\xd2\x16\x2e"  # the same: CancelRequest, 16 bytes with the key
_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # PostgreSQL manual, 54.7: SSLRequest
# A peer that is gone is found within about 90 s where nothing is under way, and 30 s after what
# was sent was not acknowledged; the system's defaults are over 2 hours and 15 minutes. (tcp(7))
_KEEPALIVE = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context that verifies the server as the settings ask; None for plaintext."""
    if settings.tls is Tls.OFF:
        return None
    ca = settings.tls_ca or ""
    is_text = ca.startswith(PEM_BEGINS)
    try:
        context = ssl.create_default_context(
            cafile=None if is_text else settings.tls_ca, cadata=ca if is_text else None
        )
    except (OSError, TypeError) as error:  # TypeError: text beyond ASCII
        shown = f"{ca[:40]!r}…" if is_text else repr(ca)
        raise ConfigurationError(
            f"BROKER_TLS_CA={shown} cannot be read as certificates: {error}"
        ) from error
    if settings.tls is Tls.REQUIRE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def connect(
    settings: Settings,
    password: str,
    context: ssl.SSLContext | None,
    deadline: Deadline,
    clock: Clock,
    startup: Mapping[str, str] | None = None,
) -> Session:
    """Open a session, or raise a ConnectError that says what stopped it. Tries once.

    Only the resolution of the name is not bounded by the deadline: the system's resolver has
    its own time limit.
    """
    where = f"{settings.host}:{settings.port}"
    sock = None
    try:
        sock = _tcp(settings, deadline)
        if context is not None:
            sock = _tls(sock, context, settings.host, deadline)
        return Session(
            Channel(sock, deadline, settings.max_result_mb * BYTES_PER_MB),
            clock.now(),
            user=settings.user,
            database=settings.database,
            password=password,
            application_name=settings.application_name,
            startup_params={"client_encoding": "UTF8", **(startup or {})},
        )
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, Exception):
            ours = _translated(error, where)
            if isinstance(ours, ConnectError):  # the server's own refusal says that there is none
                ours.session_may_live = sock is not None and ours.sqlstate is None
            if ours is not error:
                raise ours from error
        raise


def _translated(error: Exception, where: str) -> BrokerError:
    """Return the error of ours that says what stopped the attempt."""
    if isinstance(error, DatabaseError):
        return translate.connect_error(error.args[0])
    if isinstance(error, ConnectionLost):
        return ServerUnavailable(f"{where} closed the connection while it was being opened")
    if isinstance(error, (DeadlineExceeded, TimeoutError)):
        return ServerUnavailable(f"{where} did not answer in time")
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ServerUnavailable(f"{where} closed the connection during the TLS handshake")
    if isinstance(error, ssl.SSLError):
        return TlsFailed(f"{where}: {error}. {TlsFailed().args[0]}")
    if isinstance(error, (socket.gaierror, UnicodeError)):  # a label that is empty or too long
        return ServerUnavailable(f"the name in {where} cannot be resolved: {error}")
    if isinstance(error, OSError):
        return ServerUnavailable(f"{where}: {error.strerror or error}")
    if isinstance(error, Error) or type(error).__module__.startswith("scramp"):
        return AuthenticationFailed(f"{where}: {error}")
    return ProtocolError(f"{where} does not speak PostgreSQL's protocol: {error!r}")


def _tcp(settings: Settings, deadline: Deadline) -> socket.socket:
    """Connect to the first of the name's addresses that answers."""
    addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    failure: OSError = TimeoutError()
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        remaining_s = deadline.remaining_s() / (len(addresses) - tried)  # one may be silent
        if remaining_s <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(remaining_s)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _tls(
    sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline
) -> socket.socket:
    sock.settimeout(max(deadline.remaining_s(), 0.001))
    sock.sendall(_SSL_REQUEST)
    sock.settimeout(max(deadline.remaining_s(), 0.001))
    answer = sock.recv(1)  # one byte: what followed it would not be from within TLS
    if answer == b"S":
        sock.settimeout(max(deadline.remaining_s(), 0.001))
        return context.wrap_socket(sock, server_hostname=host)
    if answer == b"N":
        raise TlsFailed(
            f"{host} does not speak TLS, so nothing was sent to it: turn TLS on there. "
            "BROKER_TLS=off, or sslmode=disable in a DSN, is plaintext, by name."
        )
    if answer == b"E":  # an error before start-up, as PostgreSQL sends when it cannot fork
        raise ServerUnavailable(f"{host} refused the connection before TLS")
    if not answer:
        raise ServerUnavailable(f"{host} closed the connection before TLS")
    raise ProtocolError(f"{host} answered {answer!r} to the TLS request")


def cancel(
    settings: Settings, context: ssl.SSLContext | None, key: bytes, deadline: Deadline
) -> None:
    """Ask the server to stop what the session with this key runs. Never raises.

    The server answers nothing; a pooler passes it on. (PostgreSQL manual, 54.2.7)
    """
    with contextlib.suppress(OSError, BrokerError, ValueError):
        sock = _tcp(settings, deadline)
        with sock:
            if context is not None:
                sock = _tls(sock, context, settings.host, deadline)
            with sock:
                sock.settimeout(max(deadline.remaining_s(), 0.001))
                sock.sendall(_CANCEL_REQUEST + key)
                sock.recv(1)  # the server closes once it has seen to it
