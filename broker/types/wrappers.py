"""What says how a value is meant where its Python type does not."""

from __future__ import annotations

from typing import Any


class Json:
    """Send any value that JSON has, such as a list, a string or None, as jsonb."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, Json) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its value may be a dict

    def __repr__(self) -> str:
        return f"Json({self.value!r})"
