"""Section: one table of broker.toml, whose every error names file, key, value and remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from broker.errors import UsageError
from broker.plan import quantity
from broker.plan.nearest import nearest

Member = TypeVar("Member", bound=Enum)
MANY = 1_000_000  # of anything that is counted: more is a slip of the hand


class BadDeployment(UsageError):
    """The deployment's file cannot be right as it stands. Correct the key that is named."""


class Section:
    """A table and the keys that it may have. `path` is how the file's reader would call it."""

    def __init__(self, file: str, path: str, values: Any, known: Sequence[str]) -> None:
        self._file = file
        self._path = path
        if not isinstance(values, Mapping):
            header = f"[{path}]" if path else "tables"
            raise BadDeployment(f"{file}: {path} = {values!r}: must be a table, as {header}")
        self._values = values
        for key in values:
            if key not in known:
                raise self.wrong(key, f"unknown key; did you mean {nearest(key, known)}?")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, key: str, remedy: str) -> BadDeployment:
        """Return the error for this key: file, key, value, remedy."""
        name = f"{self._path}.{key}" if self._path else key
        told = f" = {brief(self._values[key])}" if key in self._values else ""
        return BadDeployment(f"{self._file}: {name}{told}: {remedy}")

    def whole(
        self, key: str, default: int, *, least: int = 1, most: int = MANY, why: str = ""
    ) -> int:
        """Return a whole number in its range."""
        value = self._values.get(key, default)
        span = f"a whole number between {least:,} and {most:,}"
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            example = min(max(default, least), most)
            remedy = f"must be {span}{f' ({why})' if why else ''}, for example {key} = {example}"
            raise self.wrong(key, remedy)
        return value

    def optional_whole(self, key: str, *, least: int = 1, most: int = MANY) -> int | None:
        """Return a whole number, or None where there is none."""
        return self.whole(key, least, least=least, most=most) if key in self else None

    def real(self, key: str, default: float, *, least: float, most: float) -> float:
        """Return a number in its range."""
        value = self._values.get(key, default)
        number = not isinstance(value, bool) and isinstance(value, (int, float))
        if not number or not math.isfinite(value) or not least <= value <= most:
            remedy = f"must be a number between {least:g} and {most:g}"
            raise self.wrong(key, f"{remedy}, for example {key} = {default:g}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, for example {key} = true")
        return value

    def text(self, key: str, default: str | None = None, *, example: str) -> str:
        """Return a text that is not empty."""
        value = self._values.get(key, default)
        if value is None:
            raise self.wrong(key, f'missing; for example {key} = "{example}"')
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.wrong(key, f'must be a text of one line, for example {key} = "{example}"')
        return value

    def choice(self, key: str, kind: type[Member], default: Member) -> Member:
        """Return the member of an enum that the text names."""
        values = [str(member.value) for member in kind]
        text = self.text(key, str(default.value), example=str(default.value))
        if text not in values:
            remedy = f"must be one of {', '.join(values)}; did you mean {nearest(text, values)}?"
            raise self.wrong(key, remedy)
        return kind(text)

    def bytes(self, key: str, default: int, *, example: str) -> int:
        """Return a size, in bytes."""
        return int(self._quantity(key, default, quantity.BYTES, example, most=2**50))

    def optional_bytes(self, key: str, *, example: str) -> int | None:
        """Return a size in bytes, or None where there is none."""
        return self.bytes(key, 0, example=example) if key in self else None

    def seconds(self, key: str, default: float, *, example: str, most: float = 86_400.0) -> float:
        """Return a time, in seconds."""
        return self._quantity(key, default, quantity.SECONDS, example, most=most)

    def rate(self, key: str, default: float, *, example: str) -> float:
        """Return a rate, a second."""
        return self._quantity(key, default, quantity.PER_SECOND, example, most=MANY)

    def _quantity(
        self, key: str, default: float, units: Mapping[str, float], example: str, most: float
    ) -> float:
        if key not in self:
            return default
        remedy = f'give it with its unit ({", ".join(units)}), for example {key} = "{example}"'
        value = self._values[key]
        if not isinstance(value, str):
            raise self.wrong(key, remedy)
        try:
            found = quantity.read(value, dict(units))
        except ValueError as error:
            raise self.wrong(key, f"{error}: {remedy}") from None
        if not 0 < found <= most:
            raise self.wrong(key, f"must be more than 0 and within reason: {remedy}")
        return found

    def table(self, key: str, known: Sequence[str]) -> Section:
        """Return a table of this one, empty where there is none."""
        return Section(self._file, self._dotted(key), self._values.get(key, {}), known)

    def tables(self, key: str, known: Sequence[str]) -> list[Section]:
        """Return an array of tables, [[key]]."""
        found = self._values.get(key, [])
        if not isinstance(found, list):
            raise self.wrong(key, f"must be an array of tables: write [[{key}]]")
        return [
            Section(self._file, f"{self._dotted(key)}[{number}]", each, known)
            for number, each in enumerate(found)
        ]

    def texts(self, key: str, default: Sequence[str], *, example: str) -> list[str]:
        """Return a list of texts, at least one."""
        value = self._values.get(key, list(default))
        good = isinstance(value, list) and value and all(isinstance(text, str) for text in value)
        if not good:
            raise self.wrong(key, f'must be a list of texts, for example {key} = ["{example}"]')
        return [str(text) for text in value]

    def _dotted(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def brief(value: object) -> str:
    """Return the value as the file has it, cut where it is long, on one line."""
    try:
        text = f'"{value}"' if isinstance(value, str) else repr(value)
    except ValueError:  # Python does not write integers of over 4,300 digits
        text = "a number of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}…"
