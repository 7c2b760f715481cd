"""Single-flight sessions on pg8000: the only package that touches pg8000's internals."""

from broker.wire.connect import cancel, connect, tls_context
from broker.wire.session import Reply, Session, Sighting

__all__ = ["Reply", "Session", "Sighting", "cancel", "connect", "tls_context"]
