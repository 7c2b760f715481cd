"""One attempt to open a session: name, TCP, TLS, start-up and authentication."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping

from broker.deadline import Clock, Deadline, Instant
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
from broker.settings import PEM_BEGINS, Flavour, Settings, Tls
from broker.wire import messages
from broker.wire.channel import BYTES_PER_MB, Channel
from broker.wire.connection import Connection
from broker.wire.exchange import Exchange, Wants
from broker.wire.protocol import Protocol
from broker.wire.session import Session
from broker.wire.startup import StartUp

# What a role, a database or the server has set otherwise must change no value. These are taken at
# start-up by PostgreSQL and every pooler; the rest can be read in every form, but for the digits of
# a float, which the session sees to where they cannot be set here (broker.bound).
_EVERYWHERE = {"client_encoding": "UTF8", "DateStyle": "ISO"}
_RDS_PROXY = {"extra_float_digits": "1"}
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
        channel = Channel(sock, deadline, settings.max_result_mb * BYTES_PER_MB)
        parameters = {
            "user": settings.user,
            "database": settings.database,
            **({"application_name": name} if (name := settings.application_name) else {}),
            **_EVERYWHERE,
            **(_RDS_PROXY if settings.flavour is Flavour.RDS_PROXY else {}),
            **(startup or {}),
        }
        starting = StartUp(parameters, password, _certificate(sock))
        asks_for_digits = "extra_float_digits" not in parameters
        return start_up(channel, starting, clock.now(), asks_for_digits=asks_for_digits)
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


def start_up(
    channel: Channel, starting: StartUp, now: Instant, *, asks_for_digits: bool = False
) -> Session:
    """Introduce the client to the server at the other end of a channel, and return the session."""
    conversation = Protocol()
    conversation.begin(Exchange(starting=starting))
    conversation.receive(channel.send(messages.startup(starting.parameters)))
    while (wants := conversation.advance()) is not Wants.NOTHING:
        if wants is Wants.SEND:
            conversation.receive(channel.send(conversation.outgoing))
        else:
            conversation.receive(channel.receive(conversation.missing))
    return Session(Connection(channel, conversation), now, asks_for_digits=asks_for_digits)


def _certificate(sock: socket.socket) -> bytes | None:
    return sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None


def _translated(error: Exception, where: str) -> BrokerError:
    """Return the error of ours that says what stopped the attempt."""
    if isinstance(error, ConnectionLost):
        return ServerUnavailable(f"{where} closed the connection while it was being opened")
    if isinstance(error, (DeadlineExceeded, TimeoutError)):
        return ServerUnavailable(f"{where} did not answer in time")
    if isinstance(error, AuthenticationFailed) and error.sqlstate is None:
        return AuthenticationFailed(f"{where}: {error.args[0]}")
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
    sock.sendall(messages.SSL_REQUEST)
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
                sock.sendall(messages.cancel_request(key))
                sock.recv(1)  # the server closes once it has seen to it
