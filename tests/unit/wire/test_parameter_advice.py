"""A refusal that is about a parameter says what to write instead, and no other does."""

from __future__ import annotations

import pytest

from broker.wire.parameter_advice import (
    CAST_ADVICE,
    JSON_ADVICE,
    LIST_ADVICE,
    VECTOR_ADVICE,
    parameter_advice,
)


@pytest.mark.parametrize(
    ("sqlstate", "message", "advice"),
    [
        ("42883", "operator does not exist: integer = integer[]", LIST_ADVICE),
        ("42601", 'syntax error at or near ":ids"', LIST_ADVICE),
        ("22P02", 'malformed array literal: "(1)"', LIST_ADVICE),
        ("42883", "operator does not exist: bigint[] = integer[]", CAST_ADVICE),
        ("42883", "operator does not exist: bigint[] @> integer[]", CAST_ADVICE),
        ("42883", "operator does not exist: jsonb @> integer[]", JSON_ADVICE),
        ("42846", "cannot cast type jsonb[] to jsonb", JSON_ADVICE),
        ("42804", 'column "v" is of type jsonb but expression is of type integer[]', JSON_ADVICE),
        ("22P02", 'invalid input syntax for type vector: "{1}"', VECTOR_ADVICE),
        ("42P01", 'relation "wher" does not exist', None),
    ],
)
def test_a_list_is_told_what_fits_the_case(sqlstate, message, advice):
    assert parameter_advice(sqlstate, message, lists=True, labels=(":ids",)) == advice
    if sqlstate != "42601":
        assert parameter_advice(sqlstate, message, lists=False, labels=(":ids",)) is None


def test_a_parameter_where_none_can_stand_is_told_how_it_is_written():
    near = parameter_advice("42601", 'syntax error at or near ":v"', lists=False, labels=(":v",))
    untyped = "could not determine data type of parameter :v"

    assert near is not None
    assert ":v::interval in place of interval :v" in near
    assert parameter_advice("42P18", untyped, lists=False, labels=(":v",)) == (
        "say its type, as in :v::text"
    )
    assert parameter_advice("42601", 'at or near "wher"', lists=False, labels=(":v",)) is None


def test_the_advice_names_the_parameter_that_the_server_named():
    untyped = "could not determine data type of parameter"
    labels = (":id", ":ids")

    assert parameter_advice("42P18", f"{untyped} :ids", lists=False, labels=labels) == (
        "say its type, as in :ids::text"
    )
    assert parameter_advice("42P18", f"{untyped} 1", lists=False, labels=("parameter 1",)) == (
        "say its type, as in %s::text"
    )
