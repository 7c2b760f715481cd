"""The CDK's side of the broker: `ConnectionBroker(…).connect(fn)`."""

from .connection_broker import ConnectionBroker
from .database import Database, import_database
from .database_settings import ExistingDatabase
from .options import Auth, Options
from .refusals import plain_refusals
from .settings import read_options
from .watch_settings import Alarming, Reaping, WatchSettings

__all__ = [
    "Alarming",
    "Auth",
    "ConnectionBroker",
    "Database",
    "ExistingDatabase",
    "Options",
    "Reaping",
    "WatchSettings",
    "import_database",
    "plain_refusals",
    "read_options",
]
