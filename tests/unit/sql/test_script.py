"""A text is split where the server would split it, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.sql.script import split


def stripped(sql: str) -> list[str]:
    return [part.strip() for part in split(sql)]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "select 1;",
        " select 1 ;; ",
        "select ';'",
        "select $$ ; $$",
        'select 1 as ";"',
        "select 1 /* ; /* ; */ ; */",
        "create rule r as on insert to a do also (select 1; select 2)",
        "create function f() returns int language sql begin atomic select 1; select 2; end",
        "",
        "-- nothing; at all",
        "create or replace procedure p() begin atomic select case when true then 1 end; end",
        "/* begin atomic ; */ select 1",
        "begin atomic",
    ],
)
def test_one_statement_stays_whole(sql: str) -> None:
    assert len(split(sql)) == 1


def test_several_are_split_and_what_says_nothing_is_dropped() -> None:
    assert stripped("select ';' ; -- a; b\n; insert into t values (1);/* c */;") == [
        "select ';'",
        "insert into t values (1)",
    ]


FUNCTION = "create or replace function f() returns int begin atomic select 1; end"


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        (f"{FUNCTION}; select f()", [FUNCTION, "select f()"]),
        (f"select 1; {FUNCTION}", ["select 1", FUNCTION]),
        (
            "-- begin atomic deploy\nselect 1; select 2",
            ["-- begin atomic deploy\nselect 1", "select 2"],
        ),
        ("select 'begin atomic'; select 2", ["select 'begin atomic'", "select 2"]),
        ('select 1 as "begin atomic"; select 2', ['select 1 as "begin atomic"', "select 2"]),
        ("select $$begin atomic$$; select 2", ["select $$begin atomic$$", "select 2"]),
        ("select begin atomic; select 2", ["select begin atomic", "select 2"]),
        ("select E'a'\n'\\';'; select 2", ["select E'a'\n'\\';'", "select 2"]),
    ],
)
def test_only_the_body_of_a_function_in_sql_has_semicolons_of_its_own(
    sql: str, parts: list[str]
) -> None:
    assert stripped(sql) == parts


PIECES = st.sampled_from(["select 1", "'a;b'", "$x$;$x$", '";"', "/* ; */ 2", "(;)", "E'\\';'"])


@given(st.lists(PIECES, min_size=1))
def test_what_is_joined_by_semicolons_comes_apart_as_it_was(pieces: list[str]) -> None:
    assert stripped(";\n".join(pieces)) == pieces
