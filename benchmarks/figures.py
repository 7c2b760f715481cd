"""What a section found: figures, ratios, and whether each goal was met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    value: float
    unit: str
    digits: int = 1

    def __str__(self) -> str:
        return f"{self.value:,.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True)
class Ratio:
    """One value over another, and the goal that it has, if it has one: not above, not below."""

    value: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def _goal(self) -> str:
        if self.most is not None and self.least is not None:
            return f"in {self.least:g}-{self.most:g}"
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"

    def __str__(self) -> str:
        if self.met is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} {self._goal}: {'met' if self.met else 'NOT MET'}"


Cell = Figure | Ratio | None


@dataclass(frozen=True)
class Line:
    """One row of a section's table."""

    name: str
    cells: tuple[Cell, ...]


@dataclass
class Section:
    """One table: what was measured, and how."""

    key: str
    title: str
    header: tuple[str, ...]
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, *cells: Cell) -> None:
        """Add a row."""
        self.lines.append(Line(name, cells))

    def goals(self) -> tuple[int, int]:
        """Return how many goals were met, and how many there are."""
        cells = [cell for line in self.lines for cell in line.cells if isinstance(cell, Ratio)]
        verdicts = [cell.met for cell in cells if cell.met is not None]
        return sum(verdicts), len(verdicts)

    def as_json(self) -> dict[str, Any]:
        """Return it for --json."""
        lines = [
            {"name": line.name} | dict(zip(self.header[1:], map(_plain, line.cells), strict=True))
            for line in self.lines
        ]
        return {"key": self.key, "title": self.title, "notes": self.notes, "lines": lines}


def _plain(cell: Cell) -> dict[str, Any] | None:
    if cell is None:
        return None
    return asdict(cell) | ({"met": cell.met} if isinstance(cell, Ratio) else {})


def ratio(
    ours: Sequence[float],
    theirs: Sequence[float],
    most: float | None = None,
    least: float | None = None,
) -> Ratio:
    """Return the median of the rounds' ratios: what disturbed a round disturbed both."""
    return Ratio(median(a / b for a, b in zip(ours, theirs, strict=True)), most, least)
