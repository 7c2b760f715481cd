"""The errors: one root, one class for each thing a caller can do about it.

Each docstring has three parts: what happened, what the broker did about it, and what to do. It is
the message where none is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from broker.sql.hazards import Hazard


class BrokerError(Exception):
    """Something that the broker was asked to do could not be done.

    What was tried, the subclass says.

    Handle the subclasses that you can do something about.
    """

    retryable: ClassVar[bool] = False
    """True where running the same transaction again is safe and may succeed."""

    def __init__(self, message: str | None = None, *, sqlstate: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        message: str = self.args[0]
        return f"{message} [SQLSTATE {self.sqlstate}]" if self.sqlstate else message

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args, self.__dict__)


class ConfigurationError(BrokerError):
    """A setting is missing, unknown or contradicts another.

    Nothing was sent.

    Correct the setting that the message names.
    """


class UsageError(BrokerError):
    """The call cannot be right as it stands.

    Nothing of it was sent.

    Correct the code.
    """


class ParameterError(UsageError):
    """The parameters given are not the :names in the statement, or one of them cannot be sent.

    Nothing was sent.

    Give exactly those, each of a type that PostgreSQL knows.
    """


class UnsafeStatement(UsageError):
    """This statement would take the session out of the broker's hands.

    It was not sent.

    Use the broker's own way to do it: db.transaction() in place of BEGIN and COMMIT, db.session()
    for COPY.
    """


class PoolingHazard(UnsafeStatement):
    """This statement would stay with a pooled connection that others use.

    It was not sent.

    Do it in the transaction-scoped way that the message names. BROKER_GUARD=warn or off sends it.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        hazard: Hazard | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.hazard = hazard
        """What it is that would stay."""


class BrokerClosed(UsageError):
    """The broker was closed.

    Nothing was sent.

    Create it at module scope and close it only when you are done.
    """


class TransactionEnded(UsageError):
    """The transaction or session was used after its end.

    Nothing was sent.

    Use it inside its `with` block.
    """


class LeftOpen(UsageError):
    """The invocation ended with a transaction or a session still open.

    It was rolled back, and its session was ended. Without BROKER_STRICT=1 that is a log line and
    the metric Leaks.

    Use it in a `with` block.
    """


class NestedTransaction(UsageError):
    """A transaction is open already in this thread, and PostgreSQL has no nested ones.

    Nothing was sent, and the open one goes on.

    Use the open one (or a SAVEPOINT inside it); end it before you start another.
    """


class ConnectError(BrokerError):
    """No session could be opened.

    What waiting can mend was tried again until the deadline. No statement was sent.

    Do what the subclass says; meanwhile answer 503, or let the queue deliver it again.
    """

    gave_up = False
    """Whether it was tried until the deadline: then there is nothing to gain by trying again."""
    session_may_live = False
    """Whether the server may have opened one all the same, of which nobody heard."""
    fields: Mapping[str, str] = MappingProxyType({})
    """The server's ErrorResponse, by the protocol's field letters; empty where it gave none."""


class ServerUnavailable(ConnectError):
    """The server refused, was starting, or could not be reached.

    It was tried again, with growing waits, until the deadline. No statement was sent.

    Check BROKER_HOST and BROKER_PORT, the security groups, and that the server is up.
    """

    retryable = True


class TooManyConnections(ConnectError):
    """The server or the pooler had no free connection (53300).

    It was asked again, with growing waits, until the deadline. No statement was sent.

    Put PgBouncer or RDS Proxy in front of PostgreSQL, lower the functions' concurrency, or see who
    holds the connections: select application_name, state, count(*) from pg_stat_activity group by
    1, 2 order by 3 desc.
    """

    retryable = True


class AuthenticationFailed(ConnectError):
    """The server did not accept the user or the password.

    With BROKER_SECRET_ARN the secret was read again, and another password tried if it had one; else
    it was not tried again. No statement was sent.

    Check BROKER_USER and its secret. With BROKER_AUTH=iam, check that the role may rds-db:connect
    as this user, and that the user has rds_iam.
    """


class SecretUnavailable(ConnectError):
    """Secrets Manager did not answer, or asked for patience.

    It was asked again, with growing waits, until the deadline. No session was opened.

    Check the function's way to it (an interface endpoint in a VPC without NAT), or add the AWS
    Parameters and Secrets extension, which keeps the secret.
    """

    retryable = True


class TlsFailed(ConnectError):
    """The server's TLS certificate could not be verified, or the server does not speak TLS.

    It was not tried again. No password and no statement was sent.

    Point BROKER_TLS_CA at the authority's certificate. BROKER_TLS=off is plaintext, by name.
    """


class CapReached(ConnectError):
    """The fleet held as many sessions as BROKER_CAP allows.

    A free place was looked for until the deadline. Nothing was sent.

    Answer 429, or let the queue deliver it again. If it stays: make transactions shorter, lower the
    functions' concurrency, or raise the cap if the plan has room.
    """

    retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        cap: int = 0,
        held: int = 0,
        waited_s: float = 0.0,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.cap = cap
        self.held = held
        """Leases that were seen in force at the last look."""
        self.waited_s = waited_s


class CapUnreachable(ConnectError):
    """The table of leases was out of reach, throttled or refused.

    It was asked again while there was time, and no session was used without a lease.

    Check BROKER_CAP_TABLE, the function's dynamodb:PutItem, UpdateItem, DeleteItem and Query
    permissions, its clock, and its way to DynamoDB (a gateway endpoint in a VPC).
    BROKER_CAP_WHEN_UNREACHABLE=open would open sessions without a lease.
    """

    retryable = True


class CapUnsafe(ConfigurationError):
    """The server would keep a session for longer than its lease, so the cap would not hold.

    The session was ended again. No statement was sent.

    Give the role the timeouts that the message names, or the lease a longer life
    (BROKER_CAP_LEASE_S).
    """


class DeadlineExceeded(BrokerError):
    """The deadline passed. Unless this is an OutcomeUnknown too, nothing of the work was kept.

    A statement that was under way was cancelled on the server, or its session was closed.

    The deadline is what the invocation has left, minus BROKER_MARGIN_S, or BROKER_TIMEOUT_S outside
    of one: make the statement faster, or raise the function's timeout.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        phase: str | None = None,
        budget_s: float | None = None,
        took_s: float | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.phase = phase
        """What was under way: waiting, connecting, statement or lookup; None where nobody said."""
        self.budget_s = budget_s
        """The seconds that there were in all."""
        self.took_s = took_s
        """Those of them that had passed."""

    @classmethod
    def at(
        cls, phase: str, budget_s: float, took_s: float, sqlstate: str | None = None
    ) -> DeadlineExceeded:
        """Return the error with its numbers in the message."""
        told = f"{took_s:.2f} s of {budget_s:.2f} s had passed"
        if budget_s <= 0:
            told = "there was no time: BROKER_MARGIN_S keeps all that the invocation had left"
        message = f"{phase}: {told}. {cls().args[0]}"
        return cls(message, sqlstate=sqlstate, phase=phase, budget_s=budget_s, took_s=took_s)


class CheckoutTimeout(DeadlineExceeded):
    """All sessions of this environment were in use until the deadline.

    The thread stood in line for one. Nothing was sent.

    Give sessions back sooner, or raise BROKER_MAX_SESSIONS if this environment has threads.
    """


class ConnectionLost(BrokerError):
    """The session ended before its work was committed, so nothing of it is kept.

    A first statement that was not sent yet was sent again on other sessions until the deadline;
    after a lost COMMIT the server was asked, and had kept nothing.

    It is safe to run the whole transaction again; db.retry(fn) does that.
    """

    retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        may_have_run: bool = True,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.may_have_run = may_have_run
        """False where the last statement surely did not reach a backend."""


class OutcomeUnknown(BrokerError):
    """The session ended after a statement or COMMIT was sent and before the answer came. It may
    have happened or not.

    It was not sent again. If it was a COMMIT, the server was asked, and could not tell either.

    Look at the data, or make the write idempotent (insert … on conflict do nothing, with a key of
    your own).
    """

    transaction_id: str | None = None
    """The lost transaction's id, where it is known: select pg_xact_status('…'::xid8) on the
    server that gave it.
    """


class OutcomeUnknownAtDeadline(OutcomeUnknown, DeadlineExceeded):
    """The deadline passed while the answer to a statement or COMMIT was awaited, or while the
    server was asked what became of a COMMIT. It may have happened or not.

    It was not sent again, and its session was not kept.

    Look at the data, or make the write idempotent (insert … on conflict do nothing, with a key of
    your own).
    """


class ResultTooLarge(BrokerError):
    """The answer was larger than BROKER_MAX_RESULT_MB, so the rest of it was not read.

    The statement was cancelled and its session closed: a transaction that it was part of is
    rolled back, and a write that stood alone is an OutcomeUnknown instead.

    Ask for less at once (pages by key, fewer columns), read it with COPY or a cursor in
    db.session(), or raise the limit if the function has the memory: Python's rows take up to 10
    times the bytes of the wire.
    """


class ProtocolError(BrokerError):
    """The server sent what the PostgreSQL protocol does not allow, or a value that cannot be read.

    A session in doubt was closed, and nothing was sent again.

    Check that BROKER_PORT is PostgreSQL's or the pooler's.
    """


class StatementError(BrokerError):
    """The server refused the statement; `sqlstate`, `detail` and `hint` say why.

    It was not sent again. The session stays usable; inside a transaction, all of it is rolled back.

    Correct the statement or its parameters.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        fields: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.fields = dict(fields)
        """The server's ErrorResponse, by the protocol's field letters (C, M, D, H, P, …)."""

    @property
    def detail(self) -> str | None:
        """The server's DETAIL, if it gave one."""
        return self.fields.get("D")

    @property
    def hint(self) -> str | None:
        """The server's HINT, if it gave one."""
        return self.fields.get("H")


class IntegrityError(StatementError):
    """A constraint refused the row (class 23, such as 23505 unique_violation).

    It was not sent again. Inside a transaction, all of it is rolled back.

    Correct the row, or say what to do with one that is there already (insert … on conflict).
    """


class SerializationFailure(StatementError):
    """The transaction met another (40001) or was a deadlock's victim (40P01).

    It was rolled back; db.retry(fn) runs it again, as often as its `attempts` allow.

    Run it again from its beginning, as db.retry(fn) does. If it stays: make it shorter, and touch
    rows in the same order everywhere.
    """

    retryable = True


class StatementCanceled(StatementError):
    """The statement was canceled (57014) before the deadline: by a timeout of the server's own, or
    by a person.

    It was not sent again. Inside a transaction, all of it is rolled back.

    Make it faster, raise the role's statement_timeout, or ask who canceled it.
    """


class WriteRefused(StatementError):
    """The server refused a write as read-only (25006), so nothing of the transaction was kept.

    Where the server itself is read-only, as it is during a fail-over, the environment's sessions
    were replaced, its name was resolved again, and a statement that came alone or first in its
    transaction was sent again for up to 10 s; db.retry(fn) does so with a whole transaction.

    If it stays: let BROKER_HOST be the writer's endpoint, see why the server is read-only (a full
    disk?), or look for read_only=True and for a role's default_transaction_read_only.
    """

    retryable = True
    by_server: bool | None = None
    """Whether the server itself is read-only, as it said when it was asked; None where it was not
    asked, or did not answer.
    """


class TransactionAborted(StatementError):
    """An earlier statement of this transaction failed and the error was caught inside it.

    All of it was rolled back; nothing was committed.

    Let the error leave the `with` block, or guard the statement that may fail with a SAVEPOINT.
    """


def outcome_unknown(what: str, error: Exception) -> OutcomeUnknown:
    """Return the error to raise when `error` hid the answer to `what`."""
    late = isinstance(error, DeadlineExceeded)
    kind = OutcomeUnknownAtDeadline if late else OutcomeUnknown
    advice = " ".join((kind.__doc__ or "").split())
    why = "" if late else f": {error.args[0] if error.args else repr(error)}"
    sqlstate = getattr(error, "sqlstate", None)
    unknown = kind(f"the answer to {what} was lost{why}. {advice}", sqlstate=sqlstate)
    if isinstance(error, DeadlineExceeded) and isinstance(unknown, DeadlineExceeded):
        unknown.phase, unknown.budget_s = error.phase, error.budget_s
        unknown.took_s = error.took_s
    return unknown
