"""Tells what to write where the server cannot take a parameter as it was sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_SYNTAX, _NO_SUCH_OPERATOR, _NO_TYPE = "42601", "42883", "42P18"
_NOT_THE_TYPE = frozenset({"22P02", "42804", "42846"})  # of an input, a column, a cast
_WRITTEN_IN_BRACKETS = ("vector", "halfvec", "sparsevec")  # pgvector's types

LIST_ADVICE = "a list is sent as an array: = any(:ids) in place of in (…); a tuple is sent as a row"
JSON_ADVICE = "a list is sent as an array: broker.Json(value) sends it as jsonb"
VECTOR_ADVICE = "a list is sent as an array: a vector is given as its text, such as '[1,2,3]'"
CAST_ADVICE = (
    "a list of int is sent as integer[]: a cast says what else it is, as in :ids::bigint[]"
)


def parameter_advice(
    sqlstate: str, message: str, *, lists: bool, labels: Sequence[str]
) -> str | None:
    """Return what to write instead, or None where the refusal is not about a parameter.

    `lists` is whether one of the parameters was a list or a tuple; `labels` is what the caller
    calls them, as the message does.
    """
    if lists and sqlstate == _SYNTAX:
        return LIST_ADVICE
    if sqlstate in (_SYNTAX, _NO_TYPE):
        named = [label for label in labels if _names(message, label, sqlstate)]
        label = max(named, key=len, default="")  # :ids and not :id
        written = label if label.startswith(":") else "%s"
        if label and sqlstate == _NO_TYPE:
            return f"say its type, as in {written}::text"
        if label:
            return (
                f"a parameter stands only where an expression can: {written}::interval in place "
                f"of interval {written}, select pg_notify('channel', {written}) in place of notify"
            )
    if not lists:
        return None
    if sqlstate == _NO_SUCH_OPERATOR:
        if "json" in message:
            return JSON_ADVICE
        return LIST_ADVICE if " = " in message and "[] = " not in message else CAST_ADVICE
    if sqlstate in _NOT_THE_TYPE:
        if "json" in message:
            return JSON_ADVICE
        if any(name in message for name in _WRITTEN_IN_BRACKETS):
            return VECTOR_ADVICE
        return LIST_ADVICE if sqlstate == "22P02" else None
    return None


def _names(message: str, label: str, sqlstate: str) -> bool:
    return (f'"{label}"' if sqlstate == _SYNTAX else label) in message
