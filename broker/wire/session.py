"""A session: one server connection, its statements bounded by the deadline."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from pg8000.exceptions import DatabaseError, InterfaceError

from broker import bound
from broker.deadline import Deadline, Instant
from broker.errors import (
    BrokerError,
    ConnectionLost,
    DeadlineExceeded,
    ParameterError,
    ProtocolError,
    UnsafeStatement,
    WriteRefused,
)
from broker.wire import encode, translate
from broker.wire.channel import Channel
from broker.wire.connection import Answer, SingleFlight
from broker.wire.values import rendered

_TERMINATE = b"X\0\0\0\x04"
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


class Status(Enum):
    """Where a session stands, as ReadyForQuery tells it."""

    IDLE = b"I"
    TRANSACTION = b"T"
    FAILED = b"E"


class Sighting(NamedTuple):
    """What a look at an idle session's socket saw."""

    alive: bool
    sqlstate: str | None = None
    message: str | None = None


class Reply(NamedTuple):
    """What the server answered to a flight's last statement."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    row_count: int
    """Rows returned or changed, over the whole batch; -1 where the server counts none."""
    tag: bytes
    """The command tag, such as b"INSERT 0 1"."""
    afterwards: bytes | None = None
    """The cell that the statement behind it gave, where one was sent along."""
    described: Sequence[Mapping[str, Any]] = ()
    """The columns as pg8000 describes them: `name`, `type_oid`, …"""


class Manner(NamedTuple):
    """How a statement is run, where it is not the usual way."""

    oids: Sequence[int] = ()
    """The parameters' types; -1, and those left out, are the server's to infer."""
    stream: Any = None
    """What COPY reads from or writes to, as pg8000 has it."""
    further: Sequence[bytes] = ()
    """Statements without parameters, run behind it in the same flight."""

    @property
    def single(self) -> bool:
        """Whether it is one statement that has all it needs in itself."""
        return self.stream is None and not self.further


USUAL = Manner()


class Session(SingleFlight):
    """A server connection that the pool keeps, and what it needs to know of it."""

    def __init__(self, channel: Channel, opened_at: Instant, **options: Any) -> None:
        """Start up on a connected channel; the errors are pg8000's and the channel's own."""
        self.number = next(_ids)
        self.opened_at = self.last_used = opened_at
        self.refused: WriteRefused | None = None
        """A write was refused as read-only, and nobody has asked yet why (broker.demotion)."""
        self.demoted = False  # its server is read-only
        self.lease: Lease | None = None
        """Its place under the fleet-wide cap, where there is one."""
        self._limit_ms: int | None = None  # statement_timeout outside of transactions, once known
        self._bound_ms: int | None = None  # what rode in the transaction that is open
        super().__init__(channel, **options)

    def __repr__(self) -> str:
        state = self.status.name.lower() if self.whole else "unusable"
        return f"<Session {self.number} {state}>"

    @property
    def status(self) -> Status:
        """Where the session stands after its last flight."""
        return Status(self._transaction_status)

    @property
    def clean(self) -> bool:
        """Whether the next user would find it as if new: whole, and in no transaction."""
        return self.whole and self._transaction_status == b"I" and not self.demoted

    @property
    def cancel_key(self) -> bytes:
        """What a CancelRequest names this session by: its process id and secret."""
        return self._backend_key_data or b""

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
    ) -> Reply:
        """Run a statement once for each list of parameters in `batch`, all in one flight.

        `begin` starts a transaction ahead of it; `afterwards` is run behind it, and gives one cell
        or none (never behind COPY FROM, which would take it for data). With `rides`, the deadline
        goes along as statement_timeout where the rule in broker.bound asks for it.

        Raises StatementError if the server refuses it: the session is then as usable as before.
        After ConnectionLost, ProtocolError, or DeadlineExceeded on our side it is not `whole`,
        and the statement may have run. ParameterError and UsageError send nothing.
        """
        prelude = [encode.unaccompanied(begin)] if begin else []
        bound_ms = None
        was_idle = self._transaction_status == b"I"
        if rides:
            in_force_ms = self._limit_ms if self._bound_ms is None else self._bound_ms
            bound_ms = bound.riding_ms(deadline.remaining_s(), in_force_ms)
            if bound_ms is not None:  # in a transaction, its own statements may have set one
                known = self._limit_ms is not None and was_idle
                prelude.append(encode.unaccompanied(bound.riding_sql(bound_ms, known=known)))
        answer = Answer(len(prelude), len(batch) + len(manner.further), manner.stream)
        last = encode.unaccompanied(afterwards) + encode.SYNC if afterwards else encode.SYNC
        types = (encode.parameter_types(manner.oids),) if manner.oids else ()
        parse, further = encode.parse(text, *types), map(encode.accompanied, manner.further)
        data = b"".join((*prelude, parse, *self._executions(batch), *further, last))
        refused = None
        try:
            self._fly(data, answer, deadline)
        except DatabaseError as error:
            refused = error.args[0]  # and not the cause of ours: it would show a refused row whole
        except InterfaceError as error:  # the answer is whole, but not of this protocol
            raise UnsafeStatement(f"{error}: use db.session()") from error
        self._learn(answer, bound_ms, was_idle=was_idle)
        if refused is not None:
            lists = any(isinstance(value, list | tuple) for value in batch[0])
            raise self._refusal(refused, deadline, lists=lists)
        rows = answer.rows or []
        return Reply(
            answer.names,
            rows,
            answer.row_count,
            answer.tag,
            answer.afterwards,
            answer.columns or (),
        )

    def _executions(self, batch: Sequence[Sequence[object]]) -> list[bytes]:
        """Return Bind and Execute for each list of parameters; only the first is described, since
        the same statement has the same columns every time.
        """
        messages: list[bytes] = []
        describe = encode.DESCRIBE_PORTAL
        py_types, encoding = self.py_types, self._client_encoding
        try:
            for values in batch:
                texts = rendered(py_types, values) if values else ()
                messages += (encode.bind(texts, encoding), describe, encode.EXECUTE)
                describe = b""
        except ParameterError:
            raise
        except Exception as error:  # whatever a value's own __str__ or adapter raises
            raise ParameterError(f"a parameter cannot be sent: {error}") from error
        return messages

    def _learn(self, answer: Answer, bound_ms: int | None, *, was_idle: bool) -> None:
        """Keep what the server enforces from here on."""
        if answer.in_force is not None and self._limit_ms is None and was_idle:
            try:
                self._limit_ms = bound.milliseconds(answer.in_force.decode())
            except ValueError as error:
                raise ProtocolError(f"statement_timeout cannot be read: {error}") from error
        if self._transaction_status == b"I" or answer.tag == b"ROLLBACK":
            self._bound_ms = None  # ROLLBACK TO SAVEPOINT takes back what was set since
        elif bound_ms is not None:
            self._bound_ms = bound_ms

    def _refusal(self, fields: translate.Fields, deadline: Deadline, *, lists: bool) -> BrokerError:
        lead_s = (bound.LEAD_MS + 5) / 1000  # 5 ms: rounding of the server's timer
        if fields.get("C") == translate.CANCELED and deadline.remaining_s() <= lead_s:
            budget_s, took_s = deadline.budget_s(), deadline.took_s()
            return DeadlineExceeded.at("statement", budget_s, took_s, translate.CANCELED)
        error = translate.statement_error(fields, lists=lists)
        if isinstance(error, WriteRefused):
            self.refused = error
        return error

    def bound(self, deadline: Deadline) -> None:
        """Let no flight from here on outlive `deadline`, those of pg8000's own calls included."""
        self._channel.bound(deadline)

    def look(self) -> Sighting:
        """Look at the socket of the idle session, without waiting and without a round trip."""
        alive = self._channel.look()
        try:
            self.take_unasked()
        except ConnectionLost as lost:
            return Sighting(False, lost.sqlstate, lost.args[0])
        except Exception as error:  # what cannot be read is of no more use
            return Sighting(False, None, str(error))
        return Sighting(alive, None, None if alive else "the server closed the session")

    def probe(self, deadline: Deadline) -> bool:
        """Ask the idle session for a sign of life, one round trip; never raises."""
        with contextlib.suppress(BrokerError):
            self._fly(encode.SYNC, Answer(0, 0), deadline)
        return self.clean

    def end(self, within_s: float) -> bool:
        """End the session and tell whether the server surely has ended it, too.

        Waits at most `within_s` for the server to hang up, which it does when it has freed the
        session's place. A reset is no proof: a middlebox may have sent it. Never fails.
        """
        ended = False
        if self._usock is not None and not self.in_flight:
            ended = self._channel.hang_up(_TERMINATE if self._channel.settled else b"", within_s)
        self.close()
        return ended

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
        if self._usock is None:
            return
        self._usock = None
        sock = self._channel.socket
        with contextlib.suppress(OSError, ValueError):
            if self._channel.settled:
                sock.settimeout(0)
                sock.send(_TERMINATE)
        with contextlib.suppress(OSError):
            if self.in_flight:  # wakes the thread that waits in it
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._channel.close()

    def abandon(self) -> None:
        """Let go of the session without a word to the server: it belongs to a parent process."""
        self._channel.settled = False
        self._owner = threading.Lock()
        self.close()
