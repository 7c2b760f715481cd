"""The broker's errors as PEP 249's: each raised error is both, and carries pg8000's arguments.

`except dbapi.IntegrityError` catches it, and so does `except broker.BrokerError`; `sqlstate`,
`retryable` and the text are the broker's. Where the server gave an error, `args[0]` is its fields
as pg8000 has them: {"C": "23505", "M": …}.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

from broker import errors
from broker.dbapi import names
from broker.errors import BrokerError

P = ParamSpec("P")
T = TypeVar("T")

# PEP 249's class for each class of SQLSTATEs (PostgreSQL manual, appendix A), as psycopg has it.
_OF_SQLSTATE = {
    "0A": names.NotSupportedError,
    "22": names.DataError,
    "23": names.IntegrityError,
    **dict.fromkeys(("20", "21", "3D", "3F", "42", "44", "P0"), names.ProgrammingError),
    **dict.fromkeys(("24", "25", "2B", "2D", "2F", "38", "39", "3B", "XX"), names.InternalError),
    **dict.fromkeys(
        ("08", "26", "27", "28", "34", "40", "53", "54", "55", "57", "58", "F0", "HV"),
        names.OperationalError,
    ),
}
_OF_KIND: tuple[tuple[type[BrokerError], Any], ...] = (
    (errors.UnsafeStatement, names.NotSupportedError),
    (errors.BrokerClosed, names.InterfaceError),
    (errors.TransactionEnded, names.InterfaceError),
    (errors.ConfigurationError, names.InterfaceError),
    (errors.UsageError, names.ProgrammingError),
)


def class_for(error: BrokerError) -> Any:
    """Return PEP 249's class of this error."""
    if isinstance(error, errors.StatementError):
        return _OF_SQLSTATE.get((error.sqlstate or "")[:2], names.DatabaseError)
    for kind, pep in _OF_KIND:
        if isinstance(error, kind):
            return pep
    return names.OperationalError  # no session, a lost one, too late


class _Both:
    """What an error has that is both."""

    args: tuple[Any, ...]
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __reduce__(self) -> tuple[object, ...]:
        _, pep, kind = type(self).__bases__
        return _again, (pep, kind, self.args, self.__dict__)


@cache
def _both(pep: type, kind: type[BrokerError]) -> Any:
    said = {"__module__": "broker.dbapi", "__doc__": kind.__doc__}
    return type(pep.__name__, (_Both, pep, kind), said)


def _again(
    pep: type, kind: type[BrokerError], args: tuple[Any, ...], state: dict[str, Any]
) -> BrokerError:
    made: BrokerError = _both(pep, kind)()  # type: ignore[arg-type]  # a class is hashable
    made.__dict__.update(state)
    made.args = args
    return made


def as_pep249(error: BrokerError) -> BrokerError:
    """Return the error as one of PEP 249's classes, which it is besides."""
    if isinstance(error, _Both):
        return error
    fields = getattr(error, "fields", None)
    state = {**error.__dict__, "text": str(error)}
    return _again(class_for(error), type(error), (fields,) if fields else error.args, state)


def failure(message: str, kind: type[BrokerError] = errors.UsageError) -> BrokerError:
    """Return an error of the DB-API's own: a call that cannot be right."""
    return as_pep249(kind(message))


def translated(method: Callable[P, T]) -> Callable[P, T]:
    """Let the method raise the broker's errors as PEP 249's."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except BrokerError as error:
            if isinstance(error, _Both):
                raise
            raise as_pep249(error).with_traceback(error.__traceback__) from error.__cause__

    return call
