"""PostgreSQL's ranges and multiranges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_BOUNDS = frozenset({"[)", "[]", "(]", "()"})


@dataclass(frozen=True, slots=True)
class Range:
    """Hold a range: two bounds, and for each whether the range includes it.

    A bound of None is unbounded, which PostgreSQL never counts as included: `bounds` says so.
    All empty ranges are equal. Raises ValueError for `bounds` other than "[)", "[]", "(]", "()".
    """

    lower: Any = None
    upper: Any = None
    bounds: str = "[)"
    is_empty: bool = False

    def __post_init__(self) -> None:
        bounds = self.bounds
        if bounds not in _BOUNDS:
            raise ValueError(f"a range's bounds are one of [) [] (] (), not {bounds!r}")
        if self.is_empty:
            object.__setattr__(self, "lower", None)
            object.__setattr__(self, "upper", None)
        opening = "(" if self.lower is None else bounds[0]
        closing = ")" if self.upper is None else bounds[1]
        object.__setattr__(self, "bounds", opening + closing)

    @property
    def lower_inc(self) -> bool:
        """Whether the range includes its lower bound."""
        return self.bounds[0] == "["

    @property
    def upper_inc(self) -> bool:
        """Whether the range includes its upper bound."""
        return self.bounds[1] == "]"


class Multirange(list[Range]):
    """A list of Ranges that is sent as a multirange; a plain list of them is sent as an array."""

    __slots__ = ()

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        super().__init__(ranges)

    def __repr__(self) -> str:
        return f"Multirange({super().__repr__()})"
