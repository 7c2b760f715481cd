"""The dialect: that of pg8000, with the broker's values, on the broker's DB-API.

Statements are compiled with the server's own $1 … $n, so that a percent sign is only itself;
exec_driver_sql() takes what the DB-API takes, %s. Isolation, read-only and deferrable ride with
BEGIN in place of a SET, which would stay with a pooled connection. What SQLAlchemy asks a server
once for each engine is asked in one flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import URL, NullPool, Pool
from sqlalchemy.dialects.postgresql import ranges
from sqlalchemy.dialects.postgresql.base import (
    PGCompiler,
    PGDialect,
    PGExecutionContext,
    PGIdentifierPreparer,
)
from sqlalchemy.dialects.postgresql.pg8000 import (
    PGDialect_pg8000,
    ServerSideCursor,
    _Pg8000MultiRange,
)
from sqlalchemy.dialects.postgresql.pg_catalog import INT2VECTOR, _SpaceVector
from sqlalchemy.engine.interfaces import BindTyping
from sqlalchemy.exc import ArgumentError

from broker import dbapi
from broker.broker import Broker
from broker.dbapi.errors import failure
from broker.errors import (
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    ProtocolError,
    ResultTooLarge,
)
from broker.types import Multirange

INET, CIDR, JSON, JSONB = 869, 650, 114, 3802

_MULTIRANGES = (
    ranges.INT4MULTIRANGE,
    ranges.INT8MULTIRANGE,
    ranges.NUMMULTIRANGE,
    ranges.DATEMULTIRANGE,
    ranges.TSMULTIRANGE,
    ranges.TSTZMULTIRANGE,
)
_FACTS = (
    "select current_setting('server_version_num')::int, current_schema(), "
    "current_setting('transaction_isolation'), current_setting('standard_conforming_strings')"
)


class Facts(NamedTuple):
    """What SQLAlchemy wants to know of a server."""

    version_num: int
    schema: str
    isolation: str
    conforming_strings: str


class NativeServerSideCursor(ServerSideCursor):
    """A cursor that stays on the server, until its transaction ends."""

    def execute_native(self, operation: str, args: Sequence[Any] = ()) -> None:
        """Declare it for a statement with $1 … $n."""
        declared = f"DECLARE {self.ident} NO SCROLL CURSOR FOR {operation}"
        self.cursor.execute_native(declared, args)


class BrokerMultiRange(_Pg8000MultiRange):
    """A multirange, which a list of ranges is not: that is an array."""

    def bind_processor(self, dialect: Any) -> Any:
        """Return what turns SQLAlchemy's ranges into the broker's."""
        to_list = super().bind_processor(dialect)  # type: ignore[no-untyped-call]

        def to_multirange(value: Any) -> Any:
            return Multirange(to_list(value)) if isinstance(value, list) else value

        return to_multirange


class BrokerInt2Vector(_SpaceVector, INT2VECTOR):
    """Numbers with spaces between, as the server writes them."""


class BrokerExecutionContext(PGExecutionContext):
    """A statement's way through the broker."""

    def create_server_side_cursor(self) -> Any:
        """Return a cursor for `stream_results` and `yield_per`."""
        if self._dbapi_connection.autocommit:
            raise failure(
                "yield_per and stream_results read from a cursor on the server, which lasts for a "
                "transaction only: use an isolation level other than AUTOCOMMIT, or read without "
                "them"
            )
        ident = f"c_{id(self):x}"
        cursor = self._dbapi_connection.cursor()
        return NativeServerSideCursor(cursor, ident)  # type: ignore[no-untyped-call]


class BrokerDialect(PGDialect_pg8000):
    """postgresql+broker."""

    driver = "broker"
    supports_statement_cache = True
    default_paramstyle = "numeric_dollar"
    bind_typing = BindTyping.RENDER_CASTS
    execution_ctx_cls = BrokerExecutionContext  # type: ignore[assignment]
    statement_compiler = PGCompiler  # type: ignore[assignment]  # pg8000's doubles percent signs
    preparer = PGIdentifierPreparer  # type: ignore[assignment]
    colspecs: ClassVar[Any] = {  # type: ignore[misc]
        **PGDialect_pg8000.colspecs,
        **dict.fromkeys(_MULTIRANGES, BrokerMultiRange),
        INT2VECTOR: BrokerInt2Vector,
    }
    _facts: Facts

    def __init__(self, **options: Any) -> None:
        # SQLAlchemy would take the DB-API's, which is exec_driver_sql()'s alone. Not pg8000's
        # __init__, which refuses native_inet_types: the broker has them.
        PGDialect.__init__(self, **{**options, "paramstyle": self.default_paramstyle})  # type: ignore[no-untyped-call]
        self.client_encoding = None

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Return the broker's DB-API."""
        return dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:  # noqa: ARG003  SQLAlchemy's signature
        """Return the pool that keeps nothing: pooling is the broker's."""
        return NullPool

    # Connecting, for the URL postgresql+broker://

    def create_connect_args(self, url: URL) -> Any:
        """Return what connect() gets, where no `db` was given."""
        return ([], {"url": url})

    def connect(self, *_: Any, **parameters: Any) -> Any:
        """Return a connection of the broker that the BROKER_ variables describe."""
        url: URL = parameters["url"]
        given = (url.host, url.port, url.database, url.username, url.password, url.query)
        if any(given):
            raise ArgumentError(
                f"{url}: the settings are the BROKER_ variables, and the URL is only "
                "postgresql+broker://; or use broker.sqlalchemy.create_engine(db)"
            )
        return dbapi.connect(self._from_env)

    @cached_property
    def _from_env(self) -> Broker:
        return Broker.from_env()

    def on_connect(self) -> Any:
        """Return what gives a connection the conversions that the engine was asked for."""
        as_text = self._native_inet_types is False
        deserialize = self._json_deserializer

        def on_connect(connection: dbapi.Connection) -> None:
            for oid in (INET, CIDR) if as_text else ():
                connection.register_in_adapter(oid, str)
            if deserialize is not None:
                connection.register_in_adapter(JSON, deserialize)
                connection.register_in_adapter(JSONB, deserialize)

        return on_connect

    # What is asked once for each engine

    def initialize(self, connection: Any) -> None:
        """Learn what the server is, in one flight that leaves no transaction open."""
        asked = connection.connection.dbapi_connection
        before = asked.autocommit, asked.read_only
        asked.autocommit = asked.read_only = True
        try:
            cursor = asked.cursor()
            cursor.execute(_FACTS)
            self._facts = Facts(*cursor.fetchone())
        finally:
            asked.autocommit, asked.read_only = before
        super().initialize(connection)  # type: ignore[no-untyped-call]

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:  # noqa: ARG002
        return divmod(self._facts.version_num, 10_000)

    def _get_default_schema_name(self, connection: Any) -> str:  # noqa: ARG002
        return self._facts.schema

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        """Return the engine's, or else the role's."""
        return (dbapi_conn.isolation_level or self._facts.isolation).upper()

    def _set_backslash_escapes(self, connection: Any) -> None:  # noqa: ARG002
        self._backslash_escapes = self._facts.conforming_strings == "off"

    # Running

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run what was compiled as the server has it, and all else as the DB-API has it."""
        compiled = context is not None and context.compiled is not None
        (cursor.execute_native if compiled else cursor.execute)(statement, parameters)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        """Do so for each list of parameters, in one flight."""
        compiled = context is not None and context.compiled is not None
        (cursor.executemany_native if compiled else cursor.executemany)(statement, parameters)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002
        """Tell whether the session, and with it the transaction, is gone."""
        if isinstance(e, (ConnectionLost, OutcomeUnknown, ProtocolError, ResultTooLarge)):
            return True
        return isinstance(e, DeadlineExceeded) and e.sqlstate is None  # given up in the middle

    # What rides with BEGIN

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Let the transactions from here on have this level, or AUTOCOMMIT."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        if not dbapi_connection.autocommit:
            dbapi_connection.isolation_level = level.replace("_", " ").lower()

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """Return the level that was set, or else the role's."""
        if dbapi_connection.autocommit:
            return "AUTOCOMMIT"
        return self.get_default_isolation_level(dbapi_connection)

    def set_readonly(self, connection: Any, value: bool) -> None:
        """Let the transactions from here on be read-only."""
        connection.read_only = value

    def get_readonly(self, connection: Any) -> bool:
        """Tell whether they are."""
        return bool(connection.read_only)

    def set_deferrable(self, connection: Any, value: bool) -> None:
        """Let the transactions from here on be deferrable."""
        connection.deferrable = value

    def get_deferrable(self, connection: Any) -> bool:
        """Tell whether they are."""
        return bool(connection.deferrable)
