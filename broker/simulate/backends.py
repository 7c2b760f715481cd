"""Backends: the database server's sessions, and 53300 where there are no more."""

from __future__ import annotations


class Backends:
    """What max_connections leaves to the deployment, and what it has taken of it."""

    def __init__(self, limit: int) -> None:
        self.limit = max(0, limit)
        self.open = 0

    @property
    def room(self) -> int:
        """How many more can be opened."""
        return max(0, self.limit - self.open)

    def change(self, by: int) -> None:
        """Open so many more, or close them; who opens has looked at `room`."""
        self.open += by
