"""What a text says is the same in every spelling, statement by statement."""

from __future__ import annotations

import pytest

from broker.sql.lexer import Style, tokens
from broker.sql.words import Words


def statements(sql: str) -> list[str]:
    words = Words()
    for token in tokens(sql, Style.NAMED):
        words.add(token)
    return [" ".join(each) for each in words.statements]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT/**/a -- b\n from  T", ["select a from t"]),
        ("select 'a', $$b$$, 1.5, :p", ["select ' , ' , 0 , $"]),
        ('select "T", "a""b"', ['select "T" , "a"b"']),
        ("select U&\"s\\0065t_config\"('a')", ["select \"set_config\" ( ' )"]),
        ("select U&\"s!0065t\" UESCAPE '!' (1)", ['select "set" ( 0 )']),
        ("select U&\"s!+000065t\" /* a */ uescape\n'!'", ['select "set"']),
        ('select U&"a\\\\b"', ['select "a\\b"']),
        ('select U&"a" as uescape', ['select "a" as uescape']),
        (" ; select 1;; ; select 2 ;", ["select 0", "select 0"]),
        ("create rule r as on insert to a do also (select 1; select 2); x",
         ["create rule r as on insert to a do also ( select 0 ; select 0 )", "x"]),
        ("create function f() returns int begin atomic select 1; end; select 2",
         ["create function f ( ) returns int begin atomic", "select 0"]),
        ("create or replace procedure p() begin atomic select case a when 1 then 2 end as end; "
         "select t.end from t; end; select 2",
         ["create or replace procedure p ( ) begin atomic", "select 0"]),
        ("create function f(int) returns int return set_config($1); select 2",
         ["create function f ( int ) returns int return", "select 0"]),
        ("begin atomic; end", ["begin atomic", "end"]),
        ("-- begin atomic\nselect 1; select 2", ["select 0", "select 0"]),
        ("select 'begin atomic'; select 2", ["select '", "select 0"]),
        ("", []),
    ],
)  # fmt: skip
def test_the_words_of_each_statement(sql: str, said: list[str]) -> None:
    assert statements(sql) == said
