"""PEP 249's names, which are pg8000.dbapi's own: code that catches its errors catches ours.

The type objects are numbers (PostgreSQL's oids), as pg8000's are, and equal to every type of their
kind, as PEP 249 wants them.
"""

from __future__ import annotations

from pg8000.dbapi import (
    BIGINT,
    BOOLEAN,
    BOOLEAN_ARRAY,
    BYTES,
    CHAR,
    CHAR_ARRAY,
    DATE,
    FLOAT,
    FLOAT_ARRAY,
    INET,
    INT2VECTOR,
    INTEGER,
    INTEGER_ARRAY,
    INTERVAL,
    JSON,
    JSONB,
    MACADDR,
    NAME,
    NAME_ARRAY,
    NULLTYPE,
    NUMERIC,
    NUMERIC_ARRAY,
    OID,
    PY_PG,
    TEXT,
    TEXT_ARRAY,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID_TYPE,
    VARCHAR,
    VARCHAR_ARRAY,
    XID,
    Binary,
    DatabaseError,
    DataError,
    Date,
    DateFromTicks,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PGInterval,
    ProgrammingError,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
    Warning,
)

from broker.types import Range

_SMALLINT, _REAL, _TIMETZ = 21, 700, 1266


class TypeObject(int):
    """A type of parameter, equal to the `type_code` of every column of that kind."""

    def __new__(cls, oid: int, *others: int) -> TypeObject:
        """Make the number that this oid is."""
        made = super().__new__(cls, oid)
        made.oids = frozenset((oid, *others))
        return made

    oids: frozenset[int]

    def __eq__(self, other: object) -> bool:
        return other in self.oids if type(other) is int else int(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


STRING = TypeObject(VARCHAR, TEXT, CHAR, NAME)
BINARY = TypeObject(BYTES)
NUMBER = TypeObject(NUMERIC, BIGINT, INTEGER, _SMALLINT, FLOAT, _REAL, OID)
DATETIME = TypeObject(TIMESTAMP, TIMESTAMPTZ, DATE, TIME, _TIMETZ, INTERVAL)
ROWID = TypeObject(OID)


def oid_of(size: object) -> int:
    """Return the oid that setinputsizes means: an oid, or the Python type that is sent."""
    if isinstance(size, int):
        return int(size)
    oid: int = PY_PG.get(size, UNKNOWN)
    return oid


__all__ = [
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BOOLEAN_ARRAY",
    "BYTES",
    "CHAR",
    "CHAR_ARRAY",
    "DATE",
    "DATETIME",
    "FLOAT",
    "FLOAT_ARRAY",
    "INET",
    "INT2VECTOR",
    "INTEGER",
    "INTEGER_ARRAY",
    "INTERVAL",
    "JSON",
    "JSONB",
    "MACADDR",
    "NAME",
    "NAME_ARRAY",
    "NULLTYPE",
    "NUMBER",
    "NUMERIC",
    "NUMERIC_ARRAY",
    "OID",
    "ROWID",
    "STRING",
    "TEXT",
    "TEXT_ARRAY",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "UNKNOWN",
    "UUID_TYPE",
    "VARCHAR",
    "VARCHAR_ARRAY",
    "XID",
    "Binary",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "PGInterval",
    "ProgrammingError",
    "Range",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "oid_of",
]
