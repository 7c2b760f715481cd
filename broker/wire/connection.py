"""pg8000's connection, made single-flight: one write, then one read until ReadyForQuery.

pg8000 sends Parse, Bind and Execute each with a Sync of its own, and a transaction pooler may
hand the server connection to somebody else at every Sync: with parameters, in autocommit, it
then runs another client's statement and returns that client's rows (FACTS 1). Here they leave
in one write with one Sync, and the answer is read from one buffer.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from struct import Struct
from typing import Any

from pg8000 import native
from pg8000.converters import make_params
from pg8000.core import Context
from pg8000.exceptions import Error, InterfaceError

from broker.deadline import Deadline
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    ResultTooLarge,
    UsageError,
)
from broker.wire import decode, encode, translate
from broker.wire.channel import Channel

HEADER = Struct("!ci").unpack_from
HEADER_BYTES = 5
SMALLEST = 4  # a message's length counts itself
_INT = Struct("!i").unpack_from
_DESCRIPTIONS_KEPT = 256  # distinct row descriptions remembered in a session
_STATUSES = (b"I", b"T", b"E")  # idle, in a transaction, in one that failed
_SETTINGS_KEPT = 256  # that the server reports; a real one has about 15
_SILENT = frozenset((b"1", b"2", b"3", b"n", b"t", b"s", b"I"))  # say nothing we need to know
_UNASKED = frozenset((b"N", b"S", b"A", b"E"))  # may come with no statement under way


class Answer(Context):  # type: ignore[misc]  # pg8000 has no types
    """What the receive loop fills in for a flight of ours."""

    def __init__(self, preludes: int = 0, statements: int = 1, stream: Any = None) -> None:
        super().__init__(None, stream=stream)
        self.synced = True  # the flight ends in a Sync, as a simple Query does not
        self.preludes = preludes  # statements ahead of the one whose answer is wanted
        self.statements = statements  # how often that one is still to be completed
        self.names: tuple[str, ...] = ()
        self.tag = b""
        self.in_force: bytes | None = None  # first cell of a prelude's row
        self.afterwards: bytes | None = None  # first cell of what came behind it


_Description = tuple[list[dict[str, Any]], list[decode.Converter], tuple[str, ...]]
"""The columns as pg8000 describes them, their converters, and their names."""


class SingleFlight(native.Connection):  # type: ignore[misc]  # pg8000 has no types
    """A pg8000.native connection on a channel: the same calls and results, in single flights.

    One thread at a time: a second one gets UsageError, never an answer that is not its own.
    """

    def __init__(self, channel: Channel, **options: Any) -> None:
        """Start up on a connected channel; the errors are pg8000's and the channel's own."""
        self.gave_up = False  # with a statement still under way
        self.lost = False  # the peer ended it
        self._started = False  # until then pg8000 raises the server's errors itself
        self._channel = channel
        self._usock: Any = channel
        self._owner = threading.Lock()
        self._descriptions: dict[bytes, _Description] = {}
        super().__init__(sock=channel, ssl_context=False, **options)
        self._transaction_status = b"I"  # pg8000 forgets what the server said at start-up
        self._started = True
        channel.settled = True

    @property
    def whole(self) -> bool:
        """Whether every flight so far was answered to its end; if not, it must be retired."""
        return self._usock is not None and self._channel.settled

    @property
    def in_flight(self) -> bool:
        """Whether a thread is in the middle of a flight."""
        return self._owner.locked()

    def _fly(self, data: bytes, context: Context, deadline: Deadline | None = None) -> None:
        """Write it all, then read until ReadyForQuery."""
        if not self._owner.acquire(blocking=False):
            raise UsageError(f"{self!r} is in use by another thread: give each its own")
        try:
            if not self.whole:
                raise ConnectionLost("the session was closed before", may_have_run=False)
            if self._channel.position < len(self._channel.buffer):
                self._refuse_if_ended()
            if deadline is not None:
                self._channel.bound(deadline)
            kept = context.stream is None  # what goes to a stream fills no memory
            self._channel.room = self._channel.max_answer_bytes if kept else math.inf
            try:
                self._channel.send(data)
            except ConnectionLost:
                self._channel.look()
                self._refuse_if_ended(flying=True)
                raise
            self.handle_messages(context)
        except (DeadlineExceeded, ResultTooLarge):
            self.gave_up = not self._channel.settled
            raise
        except ConnectionLost:
            self.lost = True
            raise
        except (BrokerError, Error):
            raise
        except Exception as error:
            if self._channel.settled or getattr(context, "stream", None) is not None:
                raise  # the caller's own stream or adapter
            raise ProtocolError(f"the server sent what cannot be read: {error!r}") from error
        finally:
            self._owner.release()

    def handle_messages(self, context: Context) -> None:
        """Read until ReadyForQuery; then raise what the server refused, if it did."""
        channel = self._channel
        columns: list[decode.Column] = [[] for _ in context.columns or ()]
        gathered: list[decode.Column] = []
        while True:
            buffer, position = channel.buffer, channel.position
            missing = position + HEADER_BYTES - len(buffer)
            if missing > 0:
                channel.fill(missing)
                continue
            code, size = HEADER(buffer, position)
            if code == b"D" and columns:
                channel.position = decode.gather(buffer, position, columns)
                if channel.position > position:
                    continue
            if size < SMALLEST:
                raise ProtocolError(f"the server sent a message of impossible length {size}")
            end = position + 1 + size
            if end > len(buffer):
                channel.fill(end - len(buffer))
                continue
            channel.position = end
            if code in _SILENT:
                continue
            data = buffer[position + HEADER_BYTES : end]
            if code == b"T":
                self._take_rows(context, columns)
                columns = self._describe(context, data)
            elif code == b"Z":
                self._take_status(data)
                break
            else:
                self._handle(code, data, context)
                if code == b"C" and columns and not getattr(context, "statements", 1):
                    gathered, columns = columns, []  # a row behind it is not one of these
        channel.settled = True
        self._take_rows(context, gathered or columns)
        if context.error is not None:
            raise context.error

    def _take_status(self, data: bytes) -> None:
        if data not in _STATUSES:
            raise ProtocolError(f"the server is ready in the unknown state {data!r}")
        self._transaction_status = data

    def _handle(self, code: bytes, data: bytes, context: Context) -> None:
        """Take one message that is neither a described row nor the flight's end."""
        if code == b"C":
            self.handle_COMMAND_COMPLETE(data, context)
        elif code == b"D":
            self.handle_DATA_ROW(data, context)
        else:
            handler = self.message_types.get(code)
            if handler is None:
                raise ProtocolError(f"the server sent a message of unknown type {code!r}")
            handler(data, context)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Context) -> None:
        """Keep the error for the flight's end, or raise it where it is the session's end."""
        super().handle_ERROR_RESPONSE(data, context)
        fields = context.error.args[0]
        if self._started and translate.is_fatal(fields):
            self._channel.settled = False
            raise translate.session_ended(fields)

    def handle_COMMAND_COMPLETE(self, data: bytes, context: Context) -> None:
        """Count the statement's rows, if it is the one that is wanted."""
        if not isinstance(context, Answer):
            super().handle_COMMAND_COMPLETE(data, context)
        elif context.preludes:
            context.preludes -= 1
        elif context.statements:
            context.statements -= 1
            context.tag = data[:-1]
            count = context.tag.rpartition(b" ")[2]
            if count.isdigit():
                context.row_count = max(context.row_count, 0) + int(count)

    def handle_DATA_ROW(self, data: bytes, context: Context) -> None:
        """Take a row that was not described: a companion's, or one of no columns at all."""
        if isinstance(context, Answer) and (context.preludes or not context.statements):
            (length,) = _INT(data, 2)
            cell = data[6 : 6 + length]
            if context.preludes:
                context.in_force = cell
            else:
                context.afterwards = cell
        elif context.columns == []:
            context.rows.append([])
        else:
            raise ProtocolError("the server sent a row that it had not described")

    def handle_NOTIFICATION_RESPONSE(self, data: bytes, context: Context) -> None:  # noqa: ARG002
        """Keep it as (backend's pid, channel, payload); pg8000 takes these for ASCII."""
        channel, payload, _ = data[4:].decode(self._client_encoding, "replace").split("\0", 2)
        self.notifications.append((_INT(data, 0)[0], channel, payload))

    def handle_COPY_IN_RESPONSE(self, data: bytes, context: Context) -> None:
        """Send the stream, or fail the COPY where there is none."""
        if context.stream is None:  # COPY swallowed the Sync that was sent; Query has none
            sync = encode.SYNC if context.synced else b""
            self._channel.send(encode.copy_fail(b"no stream was given for it") + sync)
        else:
            try:
                super().handle_COPY_IN_RESPONSE(data, context)
            except ConnectionLost as lost:  # part of the stream is gone: not to be sent again
                lost.may_have_run = True
                raise

    def handle_COPY_OUT_RESPONSE(self, data: bytes, context: Context) -> None:
        """Write to the stream, or drop what comes where there is none."""
        if context.stream is None:
            context.error = InterfaceError("COPY TO STDOUT needs a stream")
            context.stream_write = len  # takes the data, keeps nothing
        else:
            super().handle_COPY_OUT_RESPONSE(data, context)

    def handle_PARAMETER_STATUS(self, data: bytes, context: Context) -> None:
        """Keep what the server reports of its settings, within reason."""
        super().handle_PARAMETER_STATUS(data, context)
        if len(self.parameter_statuses) > _SETTINGS_KEPT:
            raise ProtocolError(f"the server reports over {_SETTINGS_KEPT} settings")

    def _describe(self, context: Context, data: bytes) -> list[decode.Column]:
        """Take a RowDescription; return a list to gather each column's cells in."""
        known = self._descriptions.get(data)
        if known is None:
            super().handle_ROW_DESCRIPTION(data, context)
            names = tuple(column["name"] for column in context.columns)
            known = context.columns, context.input_funcs, names
            if len(self._descriptions) >= _DESCRIPTIONS_KEPT:
                self._descriptions.clear()
            self._descriptions[data] = known
        context.columns, context.input_funcs, names = known
        if isinstance(context, Answer):
            context.names = names
        if context.rows is None:
            context.rows = []
        return [[] for _ in context.columns]

    def _take_rows(self, context: Context, columns: list[decode.Column]) -> None:
        """Convert what was gathered, and forget it if the statement failed."""
        if not columns or not columns[0] or context.error is not None:
            return
        try:
            if len(columns[0]) == 1:
                row = decode.row(columns, context.input_funcs, self._client_encoding)
                context.rows.append(row)
            else:
                context.rows += decode.rows(columns, context.input_funcs, self._client_encoding)
        except Exception as error:
            raise ProtocolError(f"a value of the answer cannot be read: {error!r}") from error

    def register_in_adapter(self, oid: int, in_func: decode.Converter) -> None:
        """Convert this type with `in_func` from here on."""
        super().register_in_adapter(oid, in_func)
        self._descriptions.clear()

    # What pg8000.native and pg8000.dbapi call, in one flight each.

    def execute_simple(self, statement: str) -> Context:
        """Run one or more statements without parameters, as the simple protocol does."""
        context = Context(statement)
        context.synced = False
        self._fly(encode.query(statement.encode(self._client_encoding)), context)
        return context

    def execute_unnamed(
        self,
        statement: str,
        vals: Sequence[object] = (),
        oids: Sequence[int] = (),
        stream: object = None,
    ) -> Context:
        """Run one statement with parameters."""
        context = Context(statement, stream=stream)
        context.synced = True
        parse = encode.parse(statement.encode(self._client_encoding), encode.parameter_types(oids))
        bind = encode.bind(make_params(self.py_types, vals), self._client_encoding)
        data = (parse, bind, encode.DESCRIBE_PORTAL, encode.EXECUTE, encode.SYNC)
        self._fly(b"".join(data), context)
        return context

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Context) -> None:
        """Answer as pg8000 does; it looks for TLS's channel binding in the bare socket."""
        self._usock = self._channel.socket
        try:
            super().handle_AUTHENTICATION_REQUEST(data, context)
        finally:
            self._usock = self._channel

    def _refuse_if_ended(self, *, flying: bool = False) -> None:
        """Raise the error with which the server ended the session, if that is what came.

        It was said before a statement was sent, so that one did not run. What is neither that
        nor a notice would be an answer to somebody else: ProtocolError.
        """
        try:
            self.take_unasked(flying=flying)
        except ConnectionLost as lost:
            lost.may_have_run = False
            raise

    def take_unasked(self, *, flying: bool = False) -> None:
        """Take the messages that came with no flight under way, or else skip that one's answers.

        Raises ConnectionLost for the server's last words, ProtocolError for what cannot be.
        """
        channel, context = self._channel, Context(None)
        while len(channel.buffer) - channel.position >= HEADER_BYTES:
            code, size = HEADER(channel.buffer, channel.position)
            end = channel.position + 1 + max(size, SMALLEST)
            if end > len(channel.buffer):
                return
            if code not in _UNASKED and flying:
                channel.position = end
                continue
            if code not in _UNASKED:
                channel.settled = False
                raise ProtocolError(f"the server sent {code!r} with no statement under way")
            data = channel.buffer[channel.position + HEADER_BYTES : end]
            channel.position = end
            try:
                self.message_types[code](data, context)
            except BrokerError:
                raise
            except Exception as error:
                channel.settled = False
                raise ProtocolError(f"the server sent what cannot be read: {error!r}") from error
            if context.error is not None:
                channel.settled = False
                raise translate.session_ended(context.error.args[0])
