"""A session: one server connection, its statements bounded by the deadline."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from broker import bound
from broker.deadline import Deadline, Instant
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    WriteRefused,
)
from broker.types import catalog, parameters
from broker.types.converters import ConverterFailed, Converters
from broker.wire import messages, rows, translate
from broker.wire.connection import Connection, Sighting
from broker.wire.exchange import Exchange, ResultSet, Status
from broker.wire.in_force import InForce
from broker.wire.known_types import KnownTypes
from broker.wire.protocol import unreadable
from broker.wire.request import USUAL, Manner, Prepared, Reply
from broker.wire.rows import Decoder

_ids = itertools.count(1)
END_S = 0.2  # a server that is well hangs up within some ms


class Lease(Protocol):
    """What a session's lease does when the session ends or is wanted; broker.cap has the real."""

    def keep(self, deadline: Deadline) -> bool:
        """Tell whether the session may be used until the deadline."""

    def give_back(self) -> None:
        """Free the place: the session has surely ended."""

    def abandon(self) -> None:
        """Let the place expire."""


class Session:
    """A server connection that the pool keeps, and what it needs to know of it.

    One thread at a time: a second one gets UsageError, never an answer that is not its own.
    """

    def __init__(
        self,
        connection: Connection,
        opened_at: Instant,
        *,
        asks_for_digits: bool = False,
    ) -> None:
        """Take over a connection that has started up.

        `asks_for_digits`: whether extra_float_digits could not be set at start-up, as behind
        PgBouncer, so that a role's own may round what is read.
        """
        self.number = next(_ids)
        self.opened_at = self.last_used = opened_at
        self.refused: WriteRefused | None = None
        """A write was refused as read-only, and nobody has asked yet why (broker.demotion)."""
        self.demoted = False  # its server is read-only
        self.lease: Lease | None = None
        """Its place under the fleet-wide cap, where there is one."""
        self._in_force = InForce(asks_for_digits=asks_for_digits)
        self._connection = connection
        self._protocol = connection.protocol
        self._types = KnownTypes()

    def __repr__(self) -> str:
        state = self.status.name.lower() if self.whole else "unusable"
        return f"<Session {self.number} {state}>"

    @property
    def status(self) -> Status:
        """Where the session stands after its last round trip."""
        return self._protocol.status

    @property
    def whole(self) -> bool:
        """Whether every round trip so far was answered to its end; if not, it must be retired."""
        return self._connection.whole

    @property
    def gave_up(self) -> bool:
        """Whether it was left with a statement still under way, which is to be canceled."""
        return self._connection.gave_up

    @property
    def lost(self) -> bool:
        """Whether the peer ended it."""
        return self._connection.lost

    @property
    def clean(self) -> bool:
        """Whether the next user would find it as if new: whole, and in no transaction."""
        return self.whole and self.status is Status.IDLE and not self.demoted

    @property
    def in_flight(self) -> bool:
        """Whether a thread is in the middle of a round trip."""
        return self._connection.in_flight

    @property
    def settings(self) -> Mapping[str, str]:
        """What the server reports of its settings (ParameterStatus)."""
        return self._protocol.parameter_statuses

    @property
    def cancel_key(self) -> bytes:
        """What a CancelRequest names this session by: its process id and secret."""
        return self._protocol.backend_key

    # Statements

    def execute(
        self,
        text: bytes,
        batch: Sequence[Sequence[object]],
        deadline: Deadline,
        *,
        begin: bytes | None = None,
        afterwards: bytes | None = None,
        rides: bool = True,
        manner: Manner = USUAL,
        labels: Sequence[str] = (),
    ) -> Reply:
        """Run a statement once for each list of parameters in `batch`, all in one round trip.

        `begin` starts a transaction ahead of it; `afterwards` is run behind it, and gives one cell
        or none (never behind COPY FROM, which would take it for data). With `rides`, the deadline
        goes along as statement_timeout where the rule in broker.bound asks for it. `labels` is
        what the caller calls each parameter, for errors.

        Raises StatementError if the server refuses it: the session is then as usable as before.
        After ConnectionLost, ProtocolError, or DeadlineExceeded on our side it is not `whole`,
        and the statement may have run. ParameterError and UsageError send nothing. What a stream
        raises is raised as it is: COPY FROM has then kept nothing, and the session of COPY TO is
        not `whole`.
        """
        statement, executions = self._statement(text, batch, manner, labels)
        before = self.status
        prefixes = [messages.execute_undescribed(begin)] if begin else []
        bound_ms = None
        if rides:
            bound_ms = self._in_force.bound_ms(deadline.remaining_s())
            prefix = self._in_force.prefix(bound_ms, before)
            if prefix is not None:
                prefixes.append(messages.execute_undescribed(prefix))
        behind = [messages.execute_described(each) for each in manner.further]
        if afterwards:
            behind.append(messages.execute_undescribed(afterwards))
        exchange = Exchange(len(prefixes), executions + len(manner.further), inbox=manner.inbox)
        data = b"".join((*prefixes, statement, *behind, messages.SYNC))
        self._connection.exchange(data, exchange, deadline, manner.stream)
        self._learn(exchange, bound_ms, before)
        if exchange.error is not None:
            lists = any(isinstance(value, list | tuple) for row in batch for value in row)
            raise self._refusal(exchange.error, deadline, lists=lists, labels=labels)
        return self._reply(exchange, manner.converters, deadline)

    @staticmethod
    def _statement(
        text: bytes,
        batch: Sequence[Sequence[object]],
        manner: Manner,
        labels: Sequence[str],
    ) -> tuple[bytes, int]:
        """Return Parse, Bind and Execute for each list of parameters, and how many there are.

        Only the first of those with the same types is parsed and described: the others have the
        same columns.
        """
        if len(batch) == 1 and not batch[0]:
            return messages.execute_described(text), 1
        adapters = manner.converters.adapters if manner.converters else None
        parts: list[bytes] = []
        bind, execute = messages.bind, messages.EXECUTE
        for group in parameters.encode_batch(batch, labels, manner.oids, adapters):
            (formats, cells), *others = group.rows
            parts += (messages.parse(text, group.oids), bind(cells, formats))
            parts += (messages.DESCRIBE_PORTAL, execute)
            for formats, cells in others:
                parts += (bind(cells, formats), execute)
        return b"".join(parts), len(batch)

    def query(self, text: bytes, deadline: Deadline, manner: Manner = USUAL) -> Reply:
        """Run one or more statements without parameters, by the simple protocol.

        The rows are those of all of them; the rest of the reply is the last one's.
        """
        exchange = Exchange(synced=False, inbox=manner.inbox)
        self._connection.exchange(messages.query(text), exchange, deadline, manner.stream)
        self._learn(exchange, None, self.status)
        if exchange.error is not None:
            raise self._refusal(exchange.error, deadline)
        return self._reply(exchange, manner.converters, deadline)

    def prepare(self, name: bytes, text: bytes, deadline: Deadline) -> Prepared:
        """Have the server keep a statement under this name; one round trip."""
        data = messages.parse(text, (), name) + messages.describe_statement(name) + messages.SYNC
        exchange = Exchange(statements=0)
        self._connection.exchange(data, exchange, deadline)
        if exchange.error is not None:
            raise self._refusal(exchange.error, deadline)
        described = exchange.result_sets[0].description if exchange.result_sets else rows.NO_COLUMNS
        formats = self._types.result_formats(field.type_oid for field in described.fields)
        codes = messages.format_codes(formats)
        return Prepared(name, exchange.parameter_types, described.fields, codes)

    def execute_prepared(
        self,
        prepared: Prepared,
        values: Sequence[object],
        deadline: Deadline,
        *,
        labels: Sequence[str] = (),
        manner: Manner = USUAL,
    ) -> Reply:
        """Run a statement that was prepared; one round trip."""
        adapters = manner.converters.adapters if manner.converters else None
        codes = prepared.result_formats if manner.converters is None else messages.ALL_TEXT
        groups = parameters.encode_batch([values], labels, prepared.oids, adapters)
        formats, cells = groups[0].rows[0]
        bind = messages.bind(cells, formats, prepared.name, codes)
        data = bind + messages.DESCRIBE_PORTAL + messages.EXECUTE + messages.SYNC
        exchange = Exchange(inbox=manner.inbox)
        self._connection.exchange(data, exchange, deadline, manner.stream)
        if exchange.error is not None:
            raise self._refusal(exchange.error, deadline, labels=labels)
        return self._reply(exchange, manner.converters, deadline)

    def close_prepared(self, prepared: Prepared, deadline: Deadline) -> None:
        """Have the server forget a prepared statement; one round trip."""
        data = messages.close_statement(prepared.name) + messages.SYNC
        self._connection.exchange(data, Exchange(statements=0), deadline)

    # What is learned from an answer

    def _learn(self, exchange: Exchange, bound_ms: int | None, before: Status) -> None:
        try:
            self._in_force.learn(exchange, bound_ms, before, self.status)
        except ProtocolError:
            self._protocol.abandon()
            raise

    def _refusal(
        self,
        fields: translate.Fields,
        deadline: Deadline,
        *,
        lists: bool = False,
        labels: Sequence[str] = (),
    ) -> BrokerError:
        lead_s = (bound.LEAD_MS + 5) / 1000  # 5 ms: rounding of the server's timer
        if fields.get("C") == translate.CANCELED and deadline.remaining_s() <= lead_s:
            budget_s, took_s = deadline.budget_s(), deadline.took_s()
            return DeadlineExceeded.at("statement", budget_s, took_s, translate.CANCELED)
        error = translate.statement_error(fields, lists=lists, labels=labels)
        if isinstance(error, WriteRefused):
            self.refused = error
        return error

    # Results

    def _reply(
        self, exchange: Exchange, converters: Converters | None, deadline: Deadline
    ) -> Reply:
        description = rows.NO_COLUMNS
        found: list[list[Any]] = []
        for result_set in exchange.result_sets:
            description = result_set.description
            some = self._rows(result_set, converters, deadline)
            if found:
                found += some
            else:
                found = some
        return Reply(
            description.names,
            found,
            exchange.row_count,
            exchange.tag,
            exchange.suffix_cell,
            description.fields,
        )

    def _rows(
        self, result_set: ResultSet, converters: Converters | None, deadline: Deadline
    ) -> list[list[Any]]:
        if not result_set.cells:
            return [[] for _ in range(result_set.empty_rows)]
        if not result_set.cells[0]:
            return []
        for types_are_new in (False, True):
            decoders = self._decoders(result_set, converters, deadline)
            try:
                return rows.decode(result_set.cells, decoders)
            except ConverterFailed as failed:  # which spoils nothing, and is the caller's own
                raise failed.error from failed.error.__cause__
            except Exception as error:
                may_be_outdated = isinstance(error, ValueError) and not types_are_new
                if not (may_be_outdated and self._types.forget()):
                    raise unreadable(error) from error
        raise AssertionError("unreachable")

    def _decoders(
        self, result_set: ResultSet, converters: Converters | None, deadline: Deadline
    ) -> list[Decoder]:
        """Return what reads each column; a type of the database's own is looked up once."""
        decoders = self._types.decoders(result_set, converters)
        if decoders is not None:
            return decoders
        oids = self._types.unknown(result_set, converters)
        self._types.learn(oids, self._look_up(oids, deadline))
        return self._types.decoders(result_set, converters) or []

    def _look_up(self, oids: Sequence[int], deadline: Deadline) -> list[list[Any]]:
        """Return what pg_type says of these types and of those they are made of: one round trip."""
        if self.status is Status.FAILED:
            return []
        wanted = b"{%b}" % ",".join(map(str, oids)).encode()
        parse, bind = messages.parse(catalog.LOOKUP_SQL), messages.bind([wanted])
        data = parse + bind + messages.DESCRIBE_PORTAL + messages.EXECUTE + messages.SYNC
        exchange = Exchange()
        try:
            self._connection.exchange(data, exchange, deadline)
        except ConnectionLost as lost:  # the statement whose types these are has run
            lost.may_have_run = True
            raise
        except DeadlineExceeded:
            if self.status is Status.IDLE:  # and is committed: nobody is to take it for not sent
                self._protocol.abandon()
            raise
        if exchange.error is not None:
            if self.status is Status.IDLE:  # and is committed
                said = exchange.error.get("M")
                raise ProtocolError(f"the types of the answer cannot be looked up: {said}")
            raise self._refusal(exchange.error, deadline)
        (found,) = exchange.result_sets
        return rows.decode(found.cells, [bytes.decode] * len(found.cells))

    # The session's life

    def look(self) -> Sighting:
        """Look at the socket of the idle session, without waiting and without a round trip."""
        return self._connection.look()

    def probe(self, deadline: Deadline) -> bool:
        """Ask the idle session for a sign of life, one round trip; never raises."""
        with contextlib.suppress(BrokerError):
            self._connection.exchange(messages.SYNC, Exchange(statements=0), deadline)
        return self.clean

    def end(self, within_s: float) -> bool:
        """End the session and tell whether the server surely has ended it, too. Never fails."""
        return self._connection.end(within_s)

    def end_and_give_back(self) -> None:
        """End the session, and its lease with it where the server surely has ended it. Never
        fails, and waits only where there is a lease.
        """
        if self.lease is None:
            self.close()
        elif self.end(END_S):
            self.lease.give_back()
        else:
            self.lease.abandon()

    def close(self) -> None:
        """End the session. Never waits and never fails: there is nobody left to tell."""
        self._connection.close()

    def abandon(self) -> None:
        """Let go of the session without a word to the server: it belongs to a parent process."""
        self._connection.abandon()
