"""Number: a value of the plan that can say where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from broker.errors import UsageError
from broker.plan.nearest import near
from broker.plan.quantity import show_bytes


@dataclass(frozen=True, slots=True)
class Number:
    """A value, its unit, and its derivation: how, from which other numbers, on whose word."""

    name: str
    value: int | float
    unit: str
    how: str
    inputs: tuple[str, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        if self.unit == "bytes":
            return show_bytes(self.value)
        return f"{shown(self.value)} {self.unit}".rstrip()


def shown(value: float) -> str:
    """Return the value as people read it: thousands apart, at most 4 digits after the point."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


class Ledger:
    """The numbers in the order in which they were worked out; a name is written once."""

    def __init__(self) -> None:
        self._numbers: dict[str, Number] = {}

    def __iter__(self) -> Iterator[Number]:
        return iter(self._numbers.values())

    def __getitem__(self, name: str) -> int | float:
        return self._numbers[name].value

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def whole(
        self, name: str, value: int, unit: str, how: str, *inputs: str, source: str = ""
    ) -> int:
        """Write down a whole number, and return it."""
        self._write(Number(name, value, unit, how, inputs, source))
        return value

    def real(
        self, name: str, value: float, unit: str, how: str, *inputs: str, source: str = ""
    ) -> float:
        """Write down a number that need not be whole, and return it."""
        self._write(Number(name, value, unit, how, inputs, source))
        return value

    def _write(self, number: Number) -> None:
        missing = [name for name in number.inputs if name not in self._numbers]
        if number.name in self._numbers or missing:
            raise AssertionError(f"{number.name}: written twice, or before {missing}")
        self._numbers[number.name] = number


def find(numbers: dict[str, Number], name: str) -> Number:
    """Return the number of this name; UsageError says which one may have been meant."""
    if name not in numbers:
        meant = near(name, numbers)
        remedy = f"did you mean {meant}?" if meant else "`broker plan` without --explain lists them"
        raise UsageError(f"{name!r} is not a number of this plan; {remedy}")
    return numbers[name]


def explain(numbers: dict[str, Number], name: str) -> list[tuple[int, Number]]:
    """Return the number and all that it rests on, each once, with its depth."""
    find(numbers, name)
    told: dict[str, tuple[int, Number]] = {}

    def tell(name: str, depth: int) -> None:
        if name not in told:
            told[name] = (depth, numbers[name])
            for source in numbers[name].inputs:
                tell(source, depth + 1)

    tell(name, 0)
    return list(told.values())
