"""The protocol: messages, its state (no I/O), a blocking connection that drives it, the session."""

from broker.wire.connect import cancel, connect, tls_context
from broker.wire.connection import Sighting
from broker.wire.exchange import Inbox, Status
from broker.wire.request import USUAL, Manner, Prepared, Reply
from broker.wire.session import Session

__all__ = [
    "USUAL",
    "Inbox",
    "Manner",
    "Prepared",
    "Reply",
    "Session",
    "Sighting",
    "Status",
    "cancel",
    "connect",
    "tls_context",
]
