"""Arrays that are more than a list of their elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DIMENSIONS = 6  # MAXDIM in PostgreSQL's c.h


class Array(list[Any]):
    """A list with what PostgreSQL knows of the array beyond its elements, so that it is sent so.

    `lower_bounds` has one number for each dimension; none where all are 1. `delimiter` is what
    stands between the elements in the array's text: a semicolon for box[], a colon for PostGIS'
    types. Arrays whose bounds are 1 and whose delimiter is a comma are plain lists. Equal to any
    list of the same elements.
    """

    __slots__ = ("delimiter", "lower_bounds")

    def __init__(
        self,
        elements: Iterable[Any] = (),
        lower_bounds: Iterable[int] = (),
        delimiter: str = ",",
    ) -> None:
        super().__init__(elements)
        self.lower_bounds = tuple(lower_bounds)
        self.delimiter = delimiter

    def __repr__(self) -> str:
        bounds = f", lower_bounds={self.lower_bounds}" if self.lower_bounds else ""
        delimiter = f", delimiter={self.delimiter!r}" if self.delimiter != "," else ""
        return f"Array({super().__repr__()}{bounds}{delimiter})"
