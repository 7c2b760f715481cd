"""The state of one conversation with a server, without I/O: bytes in, results and events out.

A driver sends what `begin` was told of, then calls `advance` until it says DONE. In between
`advance` asks for more bytes (`receive`), for what is to be sent, or for COPY's data. One Sync ends
a round trip, or a Query: nobody else's answer can come in between (PostgreSQL manual, 54.2).

    protocol.begin(exchange)
    stream.send(data)
    while (wants := protocol.advance()) is not Wants.NOTHING:
        protocol.receive(stream.receive(protocol.missing))

Whether the session may be used again is one property, `in_sync`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

from broker.errors import BrokerError, ProtocolError
from broker.wire import messages, rows, translate
from broker.wire.exchange import Exchange, Inbox, ResultSet, Status, Wants
from broker.wire.rows import Description
from broker.wire.startup import StartUp

HEADER = Struct("!ci").unpack_from
HEADER_BYTES = 5
SMALLEST = 4  # a message's length counts itself
_INT = Struct("!i").unpack_from
DESCRIPTIONS_BYTES = 256 << 10  # of row descriptions remembered in a session
_SETTINGS_KEPT = 256  # that the server reports; a real one has about 15
_SILENT = frozenset((b"1", b"2", b"n", b"s", b"c", b"v"))  # carry nothing we need
_PARSED_AND_BOUND = b"1\0\0\0\x042\0\0\0\x04"  # how almost every answer begins
_ENCODINGS = frozenset(("UTF8", "UNICODE"))  # the names of the only one that text is read in
_ASYNCHRONOUS = frozenset((b"N", b"S", b"A", b"E"))  # may come at any time (manual, 54.2.7)
_STATUSES: Mapping[bytes, Status]


class Protocol:
    """What is known of a session: its status, its settings, and what is still expected."""

    def __init__(self) -> None:
        self.status = Status.IDLE
        self.backend_key = b""
        """The process id and secret that a CancelRequest names."""
        self.parameter_statuses: Mapping[str, str] = {}
        """What the server reports of its settings; replaced, never changed in place."""
        self.missing = 1
        self.outgoing = b""
        self.copied = b""
        self._buffer = b""
        self._position = 0
        self._exchange: Exchange | None = None
        self._broken = False
        self._inbox: Inbox | None = None
        self._open: ResultSet | None = None  # whose rows may still come
        self._descriptions: dict[bytes, Description] = {}
        self._descriptions_bytes = 0
        self._handlers: dict[bytes, Callable[[Exchange, bytes], Wants | None]] = {
            b"3": self._take_mark,
            b"C": self._take_completion,
            b"D": self._take_undescribed_row,
            b"E": self._take_error,
            b"G": self._begin_copy_in,
            b"H": self._begin_copy_out,
            b"I": self._take_empty,
            b"K": self._take_key,
            b"R": self._authenticate,
            b"T": self._take_description,
            b"Z": self._finish,
            b"d": self._take_copied,
            b"t": self._take_parameter_types,
        }
        self._asides: dict[bytes, Callable[[bytes], None]] = {
            b"A": self._take_notification,
            b"N": self._take_notice,
            b"S": self._take_setting,
        }

    @property
    def in_sync(self) -> bool:
        """Whether all that was sent has been answered to its end, so that the session may be used
        again. Broken input, an end by the server and an answer that is abandoned all leave it
        False for good.
        """
        return self._exchange is None and not self._broken

    @property
    def refused(self) -> bool:
        """Whether the server has answered the round trip under way with an error."""
        return self._exchange is not None and self._exchange.error is not None

    @property
    def unread_bytes(self) -> int:
        """Bytes that came and were not read as messages yet."""
        return len(self._buffer) - self._position

    def begin(self, exchange: Exchange) -> None:
        """Expect the answers to this round trip from here on."""
        self._exchange = exchange
        self._inbox = exchange.inbox
        self._open = None
        self.missing = 1

    def receive(self, data: bytes) -> None:
        """Take in what came from the server."""
        if self._position < len(self._buffer):
            self._buffer = self._buffer[self._position :] + data
        else:
            self._buffer = data
        self._position = 0

    def abandon(self) -> None:
        """Expect no end of what is under way: the session cannot be used again."""
        self._broken = True

    def advance(self) -> Wants:
        """Read messages until the round trip is over or something is needed.

        Raises ProtocolError for what the protocol does not allow, and ConnectionLost, or while
        starting up a ConnectError, where the server says that it ends the session. The session is
        then out of sync for good.
        """
        exchange = self._exchange
        if exchange is None or self._broken:
            raise ProtocolError("no answer is expected in this session")
        try:
            return self._advance(exchange)
        except BrokerError:
            self._broken = True
            raise
        except Exception as error:
            self._broken = True
            raise unreadable(error) from error

    def _advance(self, exchange: Exchange) -> Wants:
        buffer, position, handlers = self._buffer, self._position, self._handlers
        size_of_buffer = len(buffer)
        if buffer.startswith(_PARSED_AND_BOUND, position):
            position += len(_PARSED_AND_BOUND)
        while True:
            if position + HEADER_BYTES > size_of_buffer:
                self.missing = position + HEADER_BYTES - size_of_buffer
                break
            code, size = HEADER(buffer, position)
            if code == b"D" and self._open is not None and self._open.cells:
                start, position = position, rows.gather(buffer, position, self._open.cells)
                if position > start:
                    continue
            if size < SMALLEST:
                raise ProtocolError(f"the server sent a message of impossible length {size}")
            end = position + 1 + size
            if end > size_of_buffer:
                self.missing = end - size_of_buffer
                break
            body, position = buffer[position + HEADER_BYTES : end], end
            handler = handlers.get(code)
            if handler is not None:
                wants = handler(exchange, body)
                if wants is not None:
                    self._position = position
                    return wants
            elif code not in _SILENT:
                self._take_aside(code, body)
        self._position = position
        return Wants.BYTES

    def _take_aside(self, code: bytes, body: bytes) -> None:
        aside = self._asides.get(code)
        if aside is None:
            raise ProtocolError(f"the server sent a message of unknown type {code!r}")
        aside(body)

    def _finish(self, exchange: Exchange, body: bytes) -> Wants | None:
        """End the round trip, unless this is not its end.

        Every statement was answered by then, or this is the end of another round trip.
        """
        status = _STATUSES.get(body)
        if status is None:
            raise ProtocolError(f"the server is ready in the unknown state {body!r}")
        if exchange.marked:
            return None
        if exchange.starting is not None:
            self._welcome(exchange.starting)
        if exchange.error is None and (exchange.prefixes or exchange.statements):
            raise ProtocolError("the server was ready before it had answered")
        self.status = status
        if self._inbox is not None:
            self._inbox.settings = self.parameter_statuses
            self._inbox = None
        self._exchange = self._open = None
        return Wants.NOTHING

    def _welcome(self, starting: StartUp) -> None:
        """Check that the server has let the client in, and as it was asked to."""
        if not starting.done:
            raise ProtocolError("the server was ready before it had let the client in")
        for name, value in self.parameter_statuses.items():
            self._refuse_encoding(name, value)

    # Results

    def _take_description(self, exchange: Exchange, body: bytes) -> None:
        self._open = ResultSet(self._described(body))
        exchange.result_sets.append(self._open)

    def _described(self, body: bytes) -> Description:
        known = self._descriptions.get(body)
        if known is None:
            known = rows.describe(body)
            if len(body) > DESCRIPTIONS_BYTES:
                return known
            self._descriptions_bytes += len(body)
            if self._descriptions_bytes > DESCRIPTIONS_BYTES:
                self._descriptions.clear()
                self._descriptions_bytes = len(body)
            self._descriptions[body] = known
        return known

    def _take_undescribed_row(self, exchange: Exchange, body: bytes) -> None:
        """Take the row of a statement that was sent along, or one of no columns."""
        if exchange.synced and exchange.prefixes:
            exchange.prefix_rows.append(rows.cells(body))
        elif exchange.synced and not exchange.statements:
            exchange.suffix_cell = (rows.cells(body) or [None])[0]
        elif self._open is not None and not self._open.cells and body == b"\0\0":
            self._open.empty_rows += 1
        else:
            raise ProtocolError("the server sent a row that it had not described")

    def _completed(self, exchange: Exchange) -> bool:
        """Count a statement as answered, and tell whether the caller wants its answer."""
        if exchange.prefixes:
            exchange.prefixes -= 1
            return False
        if exchange.statements:
            exchange.statements -= 1
        elif exchange.synced:
            return False
        if exchange.synced and not exchange.statements:
            self._open = None  # a row behind it is the suffix's
        return True

    def _take_empty(self, exchange: Exchange, _body: bytes) -> None:
        self._completed(exchange)

    def _take_completion(self, exchange: Exchange, body: bytes) -> None:
        if not self._completed(exchange):
            return
        exchange.tag = body[:-1]
        count = exchange.tag.rpartition(b" ")[2]
        if count.isdigit():
            exchange.row_count = max(exchange.row_count, 0) + int(count)

    def _take_parameter_types(self, exchange: Exchange, body: bytes) -> None:
        exchange.parameter_types = Struct(f"!h{(len(body) - 2) // 4}i").unpack(body)[1:]

    # COPY

    def _begin_copy_in(self, exchange: Exchange, _body: bytes) -> Wants:
        exchange.marked = exchange.synced
        return Wants.COPY_IN

    def copy_end(self, reason: bytes | None = None) -> bytes:
        """Return the messages that end the data of COPY FROM, or for this reason fail it.

        COPY takes the Sync that was sent with the statement for data, unless it fails before it
        reads any, as by a trigger: the server then answers to that Sync and to another one. So a
        Close, which changes nothing, marks the last.
        """
        end = messages.COPY_DONE if reason is None else messages.copy_fail(reason)
        if self._exchange is not None and self._exchange.synced:
            end += messages.SYNC + messages.close_statement(b"") + messages.SYNC
        return end

    def _take_mark(self, exchange: Exchange, _body: bytes) -> None:
        exchange.marked = False

    def _begin_copy_out(self, _exchange: Exchange, _body: bytes) -> Wants:
        self.copied = b""
        return Wants.COPY_OUT

    def _take_copied(self, _exchange: Exchange, body: bytes) -> Wants:
        self.copied = body
        return Wants.COPY_OUT

    # What the server says of itself

    def _take_error(self, exchange: Exchange, body: bytes) -> None:
        fields = translate.fields_of(body)
        if exchange.starting is not None:
            raise translate.connect_error(fields)
        if translate.is_fatal(fields):
            raise translate.session_ended(fields)
        if exchange.error is None:
            exchange.error = fields
        self._open = None

    def _take_notice(self, body: bytes) -> None:
        if self._inbox is not None:
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            self._inbox.notices.append(fields)

    def _take_notification(self, body: bytes) -> None:
        channel, payload, _ = body[4:].decode("utf-8", "replace").split("\0", 2)
        if self._inbox is not None:
            self._inbox.notifications.append((_INT(body, 0)[0], channel, payload))

    def _take_setting(self, body: bytes) -> None:
        name, value, _ = body.decode("utf-8", "replace").split("\0", 2)
        if self._exchange is None or self._exchange.starting is None:
            self._refuse_encoding(name, value)
        self.parameter_statuses = {**self.parameter_statuses, name: value}
        if len(self.parameter_statuses) > _SETTINGS_KEPT:
            raise ProtocolError(f"the server reports over {_SETTINGS_KEPT} settings")

    @staticmethod
    def _refuse_encoding(name: str, value: str) -> None:
        if name == "client_encoding" and value.upper() not in _ENCODINGS:
            raise ProtocolError(f"the session's client_encoding is {value}: text must be UTF8")

    def _take_key(self, _exchange: Exchange, body: bytes) -> None:
        self.backend_key = body

    def _authenticate(self, exchange: Exchange, body: bytes) -> Wants | None:
        starting = exchange.starting
        if starting is None:
            raise ProtocolError("the server asked for a password in the middle of a session")
        self.outgoing = starting.answer(body)
        return Wants.SEND if self.outgoing else None

    # With no round trip under way

    def read_asynchronous(self, inbox: Inbox | None = None) -> None:
        """Read the messages that came while the session was idle, into `inbox` if there is one.

        Raises ConnectionLost for the server's last words. Anything but asynchronous messages is an
        answer to somebody else: ProtocolError, and the session is out of sync for good.
        """
        self._inbox = inbox
        self._read(_ASYNCHRONOUS)

    def read_last_words(self) -> None:
        """Skip answers, and raise the error with which the server ended the session, if it came."""
        self._read(None)

    def _read(self, allowed: frozenset[bytes] | None) -> None:
        try:
            while self._read_one(allowed):
                pass
        except BrokerError:
            self._broken = True
            raise
        except Exception as error:
            self._broken = True
            raise unreadable(error) from error

    def _read_one(self, allowed: frozenset[bytes] | None) -> bool:
        if not self.unread_bytes:
            return False
        code = self._buffer[self._position : self._position + 1]
        if allowed is not None and code not in allowed:
            raise ProtocolError(f"the server sent {code!r} with no statement under way")
        if self.unread_bytes < HEADER_BYTES:
            return False
        _, size = HEADER(self._buffer, self._position)
        if size < SMALLEST:
            raise ProtocolError(f"the server sent a message of impossible length {size}")
        end = self._position + 1 + size
        if end > len(self._buffer):
            return False
        body = self._buffer[self._position + HEADER_BYTES : end]
        self._position = end
        if code == b"E":
            fields = translate.fields_of(body)
            if allowed is not None or translate.is_fatal(fields):
                raise translate.session_ended(fields)
        elif allowed is not None:
            self._asides[code](body)
        return True


def unreadable(error: Exception) -> ProtocolError:
    """Return the error for what cannot be read, which does not show what that was."""
    return ProtocolError(f"the server sent what cannot be read: {type(error).__name__}")


_STATUSES = {status.value: status for status in Status}
