"""The application's own conversions, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

ResultConverter = Callable[[str], Any]
Adapter = Callable[[Any], Any]


class ConverterFailed(Exception):
    """An application's own function raised, which is not the server's fault."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_NONE: Mapping[Any, Any] = MappingProxyType({})


class Converters:
    """An immutable set of conversions; the `with_` methods return a larger one.

    Equal only to itself, so it can be a key of what was worked out from it.
    """

    __slots__ = ("adapters", "by_name", "by_oid")

    def __init__(
        self,
        by_oid: Mapping[int, ResultConverter] = _NONE,
        by_name: Mapping[str, ResultConverter] = _NONE,
        adapters: Mapping[type, Adapter] = _NONE,
    ) -> None:
        self.by_oid = MappingProxyType(dict(by_oid))
        self.by_name = MappingProxyType(dict(by_name))
        self.adapters = MappingProxyType(dict(adapters))

    def with_result(self, type: int | str, function: ResultConverter) -> Converters:
        """Convert this type of the server's with `function`, which gets the cell's text.

        `type` is an oid or a name: "hstore", "public.hstore", or "hstore[]" for the array. The
        elements of an array are converted by their own type's function, if the array has none.
        """
        if isinstance(type, str):
            return Converters(self.by_oid, {**self.by_name, type: function}, self.adapters)
        return Converters({**self.by_oid, type: function}, self.by_name, self.adapters)

    def with_parameter(self, typ: type, function: Adapter) -> Converters:
        """Send values of this type, or of its subclasses, as what `function` returns for them.

        A str goes out as untyped text, as a literal in single quotes does; any other value is
        sent as if it had been given.
        """
        return Converters(self.by_oid, self.by_name, {**self.adapters, typ: function})
