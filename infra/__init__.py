"""The CDK's side of the broker: `ConnectionBroker(…).connect(fn)`."""

from .connection_broker import ConnectionBroker
from .database import Database
from .options import Auth, Options

__all__ = ["Auth", "ConnectionBroker", "Database", "Options"]
