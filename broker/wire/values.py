"""Parameters as the texts that PostgreSQL reads, by pg8000's adapters and the connection's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pg8000.converters import make_params

from broker.errors import ParameterError


def rendered(
    py_types: Mapping[type, Callable[[Any], Any]], values: Sequence[object]
) -> Sequence[str | None]:
    """Return each value's text.

    Raises ParameterError for a value with neither an adapter nor a text of its own: pg8000 would
    send where it lies in memory, or how Python writes it.
    """
    for kind in set(map(type, values)):
        if kind in py_types:
            continue
        adapted = any(issubclass(kind, known) for known in py_types if isinstance(known, type))
        text_of: object = kind.__str__
        if text_of is object.__str__ and not adapted:
            raise ParameterError(
                f"a parameter cannot be sent: PostgreSQL has no type for a {kind.__qualname__}; "
                "give its text, its parts, or a list"
            )
    texts: Sequence[str | None] = make_params(py_types, values)
    return texts
