"""SQL comes apart into the tokens that PostgreSQL's lexer makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import ParameterError
from broker.sql.lexer import Style, TokenKind, tokens
from broker.sql.statement import compile

K = TokenKind


def told(sql: str, style: Style = Style.NAMED) -> list[tuple[TokenKind, str]]:
    """Return the kinds and texts of what is neither space nor comment."""
    silent = (K.SPACE, K.COMMENT)
    return [(each.kind, each.text) for each in tokens(sql, style) if each.kind not in silent]


ONE_TOKEN = {
    "select": K.WORD,
    "näme$1": K.WORD,
    "\u4e2d\u6587": K.WORD,
    "\U0001f600": K.WORD,
    "_a": K.WORD,
    '"a"': K.QUOTED_NAME,
    '"a""b -- /* $$ \' c"': K.QUOTED_NAME,
    'U&"s\\0065t"': K.QUOTED_NAME,
    'u&"a""b"': K.QUOTED_NAME,
    "''": K.STRING,
    "'it''s -- /* $$ \" :x'": K.STRING,
    "'a\\'": K.STRING,
    "E'a\\'b'": K.STRING,
    "e'a''b\\\\'": K.STRING,
    "B'01'": K.STRING,
    "x'1F'": K.STRING,
    "N'a'": K.STRING,
    "U&'\\0041'": K.STRING,
    "$$ ' $a$ $$": K.DOLLAR_STRING,
    "$a$ $$ $b$ $a$": K.DOLLAR_STRING,
    "$ö1$ $ö1$": K.DOLLAR_STRING,
    "12": K.NUMBER,
    "1_000": K.NUMBER,
    "1.5e-3": K.NUMBER,
    ".5": K.NUMBER,
    "1.": K.NUMBER,
    "0xFF": K.NUMBER,
    "0b01": K.NUMBER,
    "+": K.OPERATOR,
    "=>": K.OPERATOR,
    "<=>": K.OPERATOR,
    "@>": K.OPERATOR,
    "->>": K.OPERATOR,
    "%": K.OPERATOR,
    "::": K.PUNCTUATION,
    ":=": K.PUNCTUATION,
    ";": K.PUNCTUATION,
    "[": K.PUNCTUATION,
    ":": K.PUNCTUATION,
    "\\": K.PUNCTUATION,
    ":a": K.PARAMETER,
    ":näme_1": K.PARAMETER,
    "$12": K.PARAMETER,
    "-- a ' \" /*": K.COMMENT,
    "/* a ' /* b */ -- */": K.COMMENT,
    "/*/ */": K.COMMENT,
    " \t\n\r\f\v": K.SPACE,
}


@pytest.mark.parametrize(("text", "kind"), ONE_TOKEN.items())
def test_each_kind_of_token_is_taken_whole(text: str, kind: TokenKind) -> None:
    assert [(each.kind, each.text) for each in tokens(text, Style.NAMED)] == [(kind, text)]


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        ("a[lo:hi]", ["a", "[", "lo", ":", "hi", "]"]),
        ("a[1:2]", ["a", "[", "1", ":", "2", "]"]),
        ("a[:n]", ["a", "[", ":n", "]"]),
        ("x::int", ["x", "::", "int"]),
        ("f(a:=:b)", ["f", "(", "a", ":=", ":b", ")"]),
        ("f(a=>:b)", ["f", "(", "a", "=>", ":b", ")"]),
        ("1..2", ["1", "..", "2"]),
        ("a-- b\n-c", ["a", "-", "c"]),
        ("a*/* b */c", ["a", "*", "c"]),
        ("a-/* b */-c", ["a", "-", "-", "c"]),
        ("nameE'a'", ["nameE", "'a'"]),
        ("U& 'a'", ["U", "&", "'a'"]),
        ("a$b$c", ["a$b$c"]),
        ("1$b$ $b$", ["1", "$b$ $b$"]),
        ("$a", ["$", "a"]),
        ("'a''b'\"c\"\"d\"", ["'a''b'", '"c""d"']),
    ],
)
def test_neighbours_are_told_apart(sql: str, texts: list[str]) -> None:
    assert [text for _, text in told(sql)] == texts


@pytest.mark.parametrize("prefix", ["", "E", "e", "B", "X", "N", "U&"])
@pytest.mark.parametrize(
    "gap", ["\n", "\r", " \n\t", "\n\n \n", " -- b ' :x\n", "-- b\n-- c\n  ", "\n-- b\r"]
)
def test_a_string_goes_on_over_a_line_break(prefix: str, gap: str) -> None:
    """scan.l, quotecontinue: white space with a newline, in which a comment ends with its line."""
    text = f"{prefix}'a'{gap}'b'{gap}'c'"
    assert told(text) == [(K.STRING, text)]


@pytest.mark.parametrize("gap", ["", " ", "\t", " /* b */ ", "\n/* b */", " /* b */\n"])
def test_a_string_ends_where_no_line_does(gap: str) -> None:
    assert len(told(f"E'a'{gap or ' '}'b'")) == 2


def test_what_a_line_break_continues_keeps_its_escapes() -> None:
    assert compile("select E'a' -- it's\n'\\' :x', :p").names == ("p",)
    assert compile("select 'a'\n'\\', :p").names == ("p",)


def test_percent_marks_a_parameter_in_format_style_alone() -> None:
    assert told("a%s", Style.FORMAT) == [(K.WORD, "a"), (K.PARAMETER, "%s")]
    assert told("a->%s%%2", Style.FORMAT)[1:4] == [
        (K.OPERATOR, "->"),
        (K.PARAMETER, "%s"),
        (K.PARAMETER, "%%"),
    ]
    assert told("a%s", Style.NAMED)[1] == (K.OPERATOR, "%")


def test_a_colon_marks_a_parameter_in_named_style_alone() -> None:
    for style in (Style.FORMAT, Style.NUMERIC_DOLLAR):
        assert told(" :a", style) == [(K.PUNCTUATION, ":"), (K.WORD, "a")]


ANY = st.text("':Ee\"$-/*=b1U&B_.;()[]%\\ \n", max_size=40) | st.text(max_size=60)


@settings(max_examples=500)
@given(ANY, st.sampled_from(Style))
def test_the_tokens_of_any_text_are_the_whole_text(sql: str, style: Style) -> None:
    found = list(tokens(sql, style))
    assert "".join(each.text for each in found) == sql
    assert all(each.text == sql[each.start : each.end] != "" for each in found)


SIZE = 200_000
PATTERNS = {
    "line breaks after a string": "E''" + "\n" * SIZE,
    "line comments after a string": "''" + "--\n" * (SIZE // 3),
    "strings that go on": "''\n" * (SIZE // 3),
    "openings of comments": "/*" * (SIZE // 2),
    "ends of comments": "*/" * (SIZE // 2),
    "tags": "".join(f"$t{n} $" for n in range(SIZE // 8)),
    "one long tag": "$" + "a" * SIZE,
    "dollars": "$" * SIZE,
    "quotes": "'" * SIZE,
    "quotes and space": "' " * (SIZE // 2),
    "double quotes": '"' * SIZE,
    "backslashes": "E'" + "\\" * SIZE,
    "parentheses": "(" * SIZE,
    "closing parentheses": ")" * SIZE,
    "square brackets": "[" * SIZE,
    "minus signs": "- " * (SIZE // 2),
    "operators": "+" * SIZE,
    "semicolons": "a;" * (SIZE // 2),
    "calls in calls": "set_config(1,2,(" * (SIZE // 15),
    "CASE in CASE": "create function f() begin atomic " + "case " * (SIZE // 5),
    "EXPLAIN of EXPLAIN": "explain(" * (SIZE // 8),
    "escapes of a name": 'U&"' + "\\0041" * (SIZE // 5) + '" uescape' * 9,
    "parameters": ":a " * (SIZE // 3),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.timeout(60)
def test_a_long_text_of_any_pattern_is_read_in_time_that_grows_with_its_length(
    pattern: str,
) -> None:
    """Time that grew with the square of the length would be minutes."""
    assert compile(PATTERNS[pattern])


@pytest.mark.parametrize("text", ["$1", ":a $1"])
def test_a_number_among_names_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        compile(text)
