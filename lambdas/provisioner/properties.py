"""A custom resource's properties, each read with its name, so that a bad one is one line.

CloudFormation turns numbers and booleans into text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .refusal import Refused


class Properties:
    """What the template gave; `of` names it in refusals."""

    def __init__(self, given: object, of: str) -> None:
        if not isinstance(given, Mapping):
            raise Refused(f"{of}: expected properties, not {type(given).__name__}")
        self._given: Mapping[str, Any] = given
        self._of = of

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        value = self._given.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refused(f"{self._of}: {name}={value!r} must be a text that is not empty")
        return value

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """Return a whole number within these limits."""
        value = self._given.get(name, default)
        try:
            number = int(str(value))
        except ValueError:
            number = least - 1
        if isinstance(value, bool) or not least <= number <= most:
            raise Refused(f"{self._of}: {name}={value!r} must be a number from {least} to {most}")
        return number

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, with at least one in it and none twice."""
        value = self._given.get(name)
        good = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
        if not good or not isinstance(value, list):
            raise Refused(f"{self._of}: {name}={value!r} must be a list of texts")
        return tuple(dict.fromkeys(value))

    def optional(self, name: str) -> Any:
        """Return whatever is there, or None."""
        return self._given.get(name)

    def refuse_others(self, *known: str) -> None:
        """Refuse what is none of these: a misspelt limit is no limit."""
        for name in self._given:
            if name not in known:
                raise Refused(f"{self._of}: {name} is none of {', '.join(known)}")
