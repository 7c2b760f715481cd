"""PostgreSQL's ranges and multiranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_BOUNDS = frozenset({"[)", "[]", "(]", "()"})


class Range:
    """Hold a range: two bounds, and for each whether the range includes it.

    A bound of None is unbounded, which PostgreSQL never counts as included: `bounds` says so.
    All empty ranges are equal. Raises ValueError for `bounds` other than "[)", "[]", "(]", "()".
    """

    __slots__ = ("_fields",)

    def __init__(
        self, lower: Any = None, upper: Any = None, bounds: str = "[)", is_empty: bool = False
    ) -> None:
        if bounds not in _BOUNDS:
            raise ValueError(f"a range's bounds are one of [) [] (] (), not {bounds!r}")
        if is_empty:
            lower = upper = None
        if lower is None or upper is None:
            bounds = ("(" if lower is None else bounds[0]) + (")" if upper is None else bounds[1])
        self._fields = (lower, upper, bounds, is_empty)

    @property
    def lower(self) -> Any:
        """The lower bound, None where there is none."""
        return self._fields[0]

    @property
    def upper(self) -> Any:
        """The upper bound, None where there is none."""
        return self._fields[1]

    @property
    def bounds(self) -> str:
        """A bracket for each bound: square where the range includes it, round where not."""
        return self._fields[2]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in the range."""
        return self._fields[3]

    @property
    def lower_inc(self) -> bool:
        """Whether the range includes its lower bound."""
        return self._fields[2][0] == "["

    @property
    def upper_inc(self) -> bool:
        """Whether the range includes its upper bound."""
        return self._fields[2][1] == "]"

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Range) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        lower, upper, bounds, is_empty = self._fields
        return "Range(is_empty=True)" if is_empty else f"Range({lower!r}, {upper!r}, {bounds!r})"


class Multirange(list[Range]):
    """A list of Ranges that is sent as a multirange; a plain list of them is sent as an array."""

    __slots__ = ()

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        super().__init__(ranges)

    def __repr__(self) -> str:
        return f"Multirange({super().__repr__()})"
