"""The CDK's side of the broker: `ConnectionBroker(…).connect(fn)`."""

from .connection_broker import ConnectionBroker
from .database import Database, import_database
from .database_settings import ExistingDatabase
from .options import Auth, Options

__all__ = [
    "Auth",
    "ConnectionBroker",
    "Database",
    "ExistingDatabase",
    "Options",
    "import_database",
]
