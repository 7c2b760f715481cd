"""Whole columns of text cells at once: what one call for each cell would give, in less time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from broker.types import moment, text_scalar

Decoder = Callable[[bytes], Any]


def _dates(texts: list[str]) -> list[Any]:
    return list(map(date.fromisoformat, texts))


def _timestamps(texts: list[str]) -> list[Any]:
    if {text[4:5] + text[7:8] + text[10:11] for text in texts} != {"-- "}:
        raise ValueError("not all of them are in ISO format")
    return list(map(datetime.fromisoformat, texts))


def _times(texts: list[str]) -> list[Any]:
    if "24" in {text[:2] for text in texts}:  # which Python 3.14 takes for midnight
        raise ValueError("not all of them are times to Python")
    return list(map(time.fromisoformat, texts))


def _numerics(texts: list[str]) -> list[Any]:
    return list(map(Decimal, texts))


_AT_ONCE: dict[Decoder, Callable[[list[str]], list[Any]]] = {
    moment.date_text: _dates,
    moment.timestamp_text: _timestamps,
    moment.time_text: _times,
    text_scalar.numeric: _numerics,
}


_OF_BYTES_ALONE = frozenset((int, float, bytes.decode))  # which raise TypeError for None


def decoded(decoder: Decoder, cells: Sequence[bytes | None]) -> list[Any]:
    """Return each cell decoded, None for NULL. Raises what the decoder raises for one of them."""
    if decoder in _OF_BYTES_ALONE:
        try:
            return list(map(decoder, cells))  # type: ignore[arg-type]  # None raises
        except TypeError:
            pass
    if None in cells:
        return [None if cell is None else decoder(cell) for cell in cells]
    at_once = _AT_ONCE.get(decoder)
    if at_once is not None:
        try:
            return at_once(list(map(bytes.decode, cells)))  # type: ignore[arg-type]
        except (ValueError, InvalidOperation):  # one of them needs a rule of its own
            pass
    return list(map(decoder, cells))  # type: ignore[arg-type]  # there is no None among them
