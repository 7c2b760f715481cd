"""Reads SQL as PostgreSQL's lexer does (src/backend/parser/scan.l), token by token. Pure.

The time is linear in the text's length, whatever the text: no pattern repeats a group that can
match the same characters in two ways, and what may hold anything (strings, names, comments) is
searched for its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import NamedTuple


class Style(Enum):
    """How a text marks its parameters; the values are PEP 249's names for it."""

    NAMED = "named"
    """:name, the broker's own."""
    FORMAT = "format"
    """%s, and %% for a percent sign; in strings, names and comments a single one will do, too."""
    NUMERIC_DOLLAR = "numeric_dollar"
    """$1, as the server has it."""


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    """A keyword or a name without quotes."""
    QUOTED_NAME = "quoted name"
    """Also U&"…"."""
    STRING = "string"
    """Also E'', B'', X'', N'' and U&''; continued over a line break, it is one token."""
    DOLLAR_STRING = "dollar string"
    NUMBER = "number"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    """Brackets, commas, semicolons, colons and dots; also :: := and .. as one."""
    PARAMETER = "parameter"
    """In the style of the text; $1 in every style."""
    COMMENT = "comment"
    SPACE = "space"


class Token(NamedTuple):
    """A piece of the text. All of them in order are the whole text."""

    kind: TokenKind
    text: str
    start: int
    """Its index in the text."""

    @property
    def end(self) -> int:
        """The index after its last character."""
        return self.start + len(self.text)


_NAME_START = r"A-Za-z_\x80-\U0010ffff"  # scan.l's ident_start: any byte above 127
_NAME_REST = _NAME_START + "0-9"
# Of nested, escapes, quote, name and dollar only the beginning: a search finds their ends.
_TOKEN = rf"""
      (?P<space>[ \t\n\r\f\v]+)
    | (?P<comment>--[^\r\n]*)
    | (?P<nested>/\*)
    | (?P<escapes>[eE]')
    | (?P<quote>(?:[bBxXnN]|[uU]&)?')
    | (?P<name>(?:[uU]&)?")
    | (?P<word>[{_NAME_START}][{_NAME_REST}$]*)
    | (?P<number>0[xX][0-9A-Fa-f_]+|0[oO][0-7_]+|0[bB][01_]+
        |(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
    | (?P<numbered>\$[0-9]+)
    | (?P<dollar>\$(?:[{_NAME_START}][{_NAME_REST}]*)?\$)
    {{parameter}}
    | (?P<operator>(?:[~!@\#^&|`?+*<>={{percent}}]|-(?!-)|/(?!\*))++)
    | (?P<punctuation>::|:=|\.\.|.)
    """
_PARAMETER = {
    Style.NAMED: r"| (?P<parameter>(?<!\w):[^\W\d]\w*)",  # not a slice's, as in a[lo:hi]
    Style.FORMAT: r"| (?P<parameter>%(?:.|\Z))",
    Style.NUMERIC_DOLLAR: "",
}
_KINDS: dict[str | None, TokenKind] = {
    "space": TokenKind.SPACE,
    "comment": TokenKind.COMMENT,
    "word": TokenKind.WORD,
    "number": TokenKind.NUMBER,
    "numbered": TokenKind.PARAMETER,
    "parameter": TokenKind.PARAMETER,
    "operator": TokenKind.OPERATOR,
    "punctuation": TokenKind.PUNCTUATION,
}
"""Of the groups that are a token's whole text."""
_COMMENT_EDGE = r"/\*|\*/"
_ESCAPED_EDGE = r"\\.|''|'"
_GAP = r"[ \t\n\r\f\v]*+(?:--[^\n\r]*[\n\r][ \t\n\r\f\v]*)*+"
"""What may stand between a string and its continuation; a line must end in it."""


def tokens(sql: str, style: Style) -> Iterator[Token]:
    """Yield the text's tokens. What is not terminated extends to the text's end."""
    match, position = _master(style).match, 0
    while found := match(sql, position):
        kind = _KINDS.get(found.lastgroup)
        if kind is not None:
            yield Token(kind, found[0], position)
            position = found.end()
        else:
            kind, end = _whole(sql, found)
            yield Token(kind, sql[position:end], position)
            position = end


def _whole(sql: str, found: re.Match[str]) -> tuple[TokenKind, int]:
    """Return the kind and the end of a token of which `found` is only the beginning."""
    group, end = found.lastgroup, found.end()
    if group == "nested":
        return TokenKind.COMMENT, _end_of_comment(sql, end)
    if group == "name":
        return TokenKind.QUOTED_NAME, _end_of_quoted(sql, end, '"')
    if group == "dollar":
        close = sql.find(found[0], end)
        return TokenKind.DOLLAR_STRING, len(sql) if close < 0 else close + len(found[0])
    return TokenKind.STRING, _end_of_string(sql, end, escapes=group == "escapes")


@cache
def _master(style: Style) -> re.Pattern[str]:
    percent = "" if style is Style.FORMAT else "%"
    text = _TOKEN.format(parameter=_PARAMETER[style], percent=percent)
    return re.compile(text, re.VERBOSE | re.DOTALL)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _end_of_string(sql: str, at: int, *, escapes: bool) -> int:
    """Return where the string ends whose first character is at `at`, continuations included.

    Strings are one if only white space is between them and a line ends in it (PostgreSQL manual,
    4.1.2.1); a comment to the line's end counts as white space (scan.l, quotecontinue).
    """
    while True:
        end = _end_of_escaped(sql, at) if escapes else _end_of_quoted(sql, at, "'")
        gap = _pattern(_GAP).match(sql, end)
        if gap is None or not sql.startswith("'", gap.end()):
            return end
        if "\n" not in gap[0] and "\r" not in gap[0]:
            return end
        at = gap.end() + 1


def _end_of_quoted(sql: str, at: int, quote: str) -> int:
    while True:
        at = sql.find(quote, at) + 1
        if not at:
            return len(sql)
        if not sql.startswith(quote, at):
            return at
        at += 1  # a doubled quote is one character


def _end_of_escaped(sql: str, at: int) -> int:
    for edge in _pattern(_ESCAPED_EDGE).finditer(sql, at):
        if edge[0] == "'":
            return edge.end()
    return len(sql)


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    for edge in _pattern(_COMMENT_EDGE).finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(sql)
