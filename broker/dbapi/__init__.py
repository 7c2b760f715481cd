"""PEP 249 on the broker: `connect(db)`, for code that was written for pg8000.dbapi."""

from broker.dbapi.connection import Connection, begin, connect
from broker.dbapi.cursor import Cursor
from broker.dbapi.names import *  # noqa: F403
from broker.dbapi.names import __all__ as _names

apilevel = "2.0"
threadsafety = 1
paramstyle = "format"

__all__ = [  # noqa: PLE0604
    "Connection",
    "Cursor",
    "apilevel",
    "begin",
    "connect",
    "paramstyle",
    "threadsafety",
    *_names,
]
