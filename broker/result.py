"""What a statement returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from broker.errors import UsageError


class Result(Sequence[list[Any]]):
    """The rows of one statement, each a list, in the server's order."""

    __slots__ = ("_rows", "columns", "row_count")

    def __init__(self, columns: tuple[str, ...], rows: list[list[Any]], row_count: int) -> None:
        self.columns = columns
        """The columns' names; empty where the statement returns no rows."""
        self.row_count = row_count
        """How many rows were returned or changed; -1 where the server counts none."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> list[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Any]]: ...
    def __getitem__(self, index: int | slice) -> list[Any] | list[list[Any]]:
        return self._rows[index]

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Result):
            return self.columns == other.columns and self._rows == other._rows
        return self._rows == other

    __hash__ = None  # type: ignore[assignment]  # its rows can be changed

    def __repr__(self) -> str:
        return f"<Result {len(self._rows)} rows of {', '.join(self.columns) or 'no columns'}>"

    def dicts(self) -> list[dict[str, Any]]:
        """Return each row as a dict by column name; of columns of one name the last counts."""
        return [dict(zip(self.columns, row, strict=True)) for row in self._rows]

    def one(self) -> list[Any]:
        """Return the only row; raises UsageError where there is none, or more than one."""
        if len(self._rows) != 1:
            raise UsageError(
                f"expected one row, but the statement returned {len(self._rows)}: iterate where "
                "there may be none or several"
            )
        return self._rows[0]

    def scalar(self) -> Any:
        """Return the first column of the only row; raises UsageError as one() does."""
        row = self.one()
        if not row:
            raise UsageError("expected a column, but the statement returns none")
        return row[0]
