"""Arrays whose subscripts do not begin at 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DIMENSIONS = 6  # MAXDIM in PostgreSQL's c.h


class Array(list[Any]):
    """A list with PostgreSQL's lower bounds, one for each dimension, so that it is sent with them.

    Arrays whose lower bounds are all 1 are plain lists. Equal to any list of the same elements.
    """

    __slots__ = ("lower_bounds",)

    def __init__(self, elements: Iterable[Any] = (), lower_bounds: Iterable[int] = ()) -> None:
        super().__init__(elements)
        self.lower_bounds = tuple(lower_bounds)

    def __repr__(self) -> str:
        return f"Array({super().__repr__()}, lower_bounds={self.lower_bounds})"
