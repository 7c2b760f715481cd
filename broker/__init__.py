"""A serverless connection broker for AWS Lambda and PostgreSQL."""

from broker.broker import Broker
from broker.deadline import Deadline
from broker.errors import (
    AuthenticationFailed,
    BrokerClosed,
    BrokerError,
    CheckoutTimeout,
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    IntegrityError,
    NestedTransaction,
    OutcomeUnknown,
    OutcomeUnknownAtDeadline,
    ParameterError,
    ProtocolError,
    SerializationFailure,
    ServerUnavailable,
    StatementCanceled,
    StatementError,
    TlsFailed,
    TooManyConnections,
    TransactionAborted,
    TransactionEnded,
    UnsafeStatement,
    UsageError,
)
from broker.result import Result
from broker.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AuthenticationFailed",
    "Broker",
    "BrokerClosed",
    "BrokerError",
    "CheckoutTimeout",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "Deadline",
    "DeadlineExceeded",
    "IntegrityError",
    "NestedTransaction",
    "OutcomeUnknown",
    "OutcomeUnknownAtDeadline",
    "ParameterError",
    "ProtocolError",
    "Result",
    "SerializationFailure",
    "ServerUnavailable",
    "Settings",
    "StatementCanceled",
    "StatementError",
    "TlsFailed",
    "TooManyConnections",
    "TransactionAborted",
    "TransactionEnded",
    "UnsafeStatement",
    "UsageError",
    "__version__",
]
