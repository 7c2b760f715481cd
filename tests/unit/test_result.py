"""A result is a sequence of rows that also knows its columns."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import UsageError
from broker.result import Result

ROWS: list[list[Any]] = [[1, "a"], [2, "b"], [3, None]]


def result() -> Result:
    return Result(("id", "name"), [list(row) for row in ROWS], 3)


def test_it_is_a_sequence_of_lists():
    rows = result()

    assert len(rows) == 3
    assert rows[0] == [1, "a"]
    assert rows[-1] == [3, None]
    assert rows[1:] == ROWS[1:]
    assert list(rows) == ROWS
    assert list(reversed(rows)) == ROWS[::-1]
    assert [2, "b"] in rows
    assert rows.index([2, "b"]) == 1
    with pytest.raises(IndexError):
        rows[3]


def test_it_equals_its_rows_and_a_result_of_the_same_columns():
    assert result() == ROWS
    assert result() == result()
    assert result() != Result(("id", "other"), ROWS, 3)
    assert result() != ROWS[:2]
    assert result() != "rows"


def test_it_cannot_be_hashed_since_its_rows_can_be_changed():
    with pytest.raises(TypeError):
        hash(result())


def test_it_is_false_when_it_has_no_rows():
    assert not Result(("id",), [], 0)


def test_dicts_are_by_column_name_and_the_last_of_one_name_counts():
    assert result().dicts()[0] == {"id": 1, "name": "a"}
    assert Result(("n", "n"), [[1, 2]], 1).dicts() == [{"n": 2}]


def test_one_and_scalar_give_the_only_row_and_its_first_column():
    only = Result(("n", "m"), [[7, 8]], 1)

    assert only.one() == [7, 8]
    assert only.scalar() == 7


@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize("ask", [Result.one, Result.scalar])
def test_anything_but_one_row_is_refused_with_the_number_there_was(ask, count):
    with pytest.raises(UsageError, match=f"returned {count}:"):
        ask(Result(("n",), [[n] for n in range(count)], count))


def test_a_row_without_columns_has_no_scalar():
    with pytest.raises(UsageError, match="expected a column"):
        Result((), [[]], 1).scalar()


def test_its_repr_shows_the_shape_and_no_data():
    assert repr(result()) == "<Result 3 rows of id, name>"
    assert repr(Result((), [], 5)) == "<Result 0 rows of no columns>"
