"""What a text says: its tokens without comments and space, statement by statement. Pure."""

from __future__ import annotations

import re

from broker.sql.lexer import Token, TokenKind

STRING, NUMBER, PARAMETER = "'", "0", "$"
"""What stands for any string, number and parameter among the words."""
_ROUTINES = frozenset({"function", "procedure"})
_SPACE, _COMMENT = TokenKind.SPACE, TokenKind.COMMENT
_WORD, _PUNCTUATION = TokenKind.WORD, TokenKind.PUNCTUATION
_HEAD = 4  # create or replace function
_UNICODE_ESCAPE = r"(?:([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|(.))"


class Words:
    """Takes the tokens of a text one by one, and parts them into statements.

    A keyword is its lower case, a quoted name has its quotes, and an operator or a bracket is
    itself. The body of a function in SQL (BEGIN ATOMIC … END, or RETURN …) is left out: it is not
    run now, and its semicolons end nothing (PostgreSQL manual, CREATE FUNCTION).
    """

    def __init__(self) -> None:
        self.in_body = False
        """Whether the last token was within a function's body, where $1 is the function's own."""
        self._done: list[list[str]] = []
        self._now: list[str] = []
        self._known: dict[str, str] = {}  # one object for each distinct word, for memory's sake
        self._depth = 0
        self._blocks = 0  # BEGIN ATOMIC and CASE that are open
        self._last = ""
        self._escaped: str | None = None  # a U&"name" whose UESCAPE may follow

    @property
    def statements(self) -> list[list[str]]:
        """The words of each statement that says anything."""
        return [*self._done, self._now] if self._now else self._done

    def add(self, token: Token) -> bool:
        """Take the next token; return whether it is a semicolon that ends a statement."""
        kind = token.kind
        if kind is _SPACE or kind is _COMMENT:
            return False
        if self._escaped is not None and self._is_escape(token):
            return False
        word = token.text.lower() if kind is _WORD else self._other(kind, token.text)
        if kind is _PUNCTUATION:
            if word == ";" and self._depth <= 0 and not self._blocks:
                self._end()
                return True
            if word == "(":
                self._depth += 1
            elif word == ")":
                self._depth -= 1
        if self.in_body:
            self._nest(word)
        else:
            self._now.append(self._known.setdefault(word, word))
            if kind is _WORD and self._now[0] == "create":
                self.in_body = self._begins_body(word)
        self._last = word
        return False

    def _end(self) -> None:
        if self._now:
            self._done.append(self._now)
        self._now, self._depth, self.in_body, self._last = [], 0, False, ""

    def _other(self, kind: TokenKind, text: str) -> str:
        if kind is _PUNCTUATION or kind is TokenKind.OPERATOR:
            return text
        if kind is TokenKind.QUOTED_NAME:
            if text[0] == '"':
                return '"' + text[1:-1].replace('""', '"') + '"'
            self._escaped = text[3:-1].replace('""', '"')
            return _decoded(self._escaped, "\\")
        if kind is TokenKind.STRING or kind is TokenKind.DOLLAR_STRING:
            return STRING
        if kind is TokenKind.NUMBER:
            return NUMBER
        return PARAMETER

    def _is_escape(self, token: Token) -> bool:
        """Decode a U&"name" whose UESCAPE ends with this token, and return whether it does."""
        if self._last[:1] == '"':
            if token.kind is not TokenKind.WORD or token.text.lower() != "uescape":
                self._escaped = None
            return False
        raw, self._escaped = self._escaped, None
        if raw is None or token.kind is not TokenKind.STRING or self.in_body:
            return False
        del self._now[-2:]
        name = _decoded(raw, token.text[-2:-1])
        self._now.append(name)
        self._last = name
        return True

    def _begins_body(self, word: str) -> bool:
        if self._depth > 0 or _ROUTINES.isdisjoint(self._now[1:_HEAD]):
            return False
        if word == "atomic" and self._last == "begin":
            self._blocks = 1
            return True
        return word == "return"

    def _nest(self, word: str) -> None:
        """Follow CASE … END within BEGIN ATOMIC … END; neither word as a label or a column."""
        if self._blocks and self._last != "as" and self._last != ".":
            if word == "case":
                self._blocks += 1
            elif word == "end":
                self._blocks -= 1


def _decoded(text: str, escape: str) -> str:
    r"""Return the quoted name that U&"text" is: \0065 and \+000065 are characters."""
    if not escape:
        return f'"{text}"'

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if code is None:
            return match[3] if match[3] == escape else match[0]
        return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else match[0]

    return '"' + re.sub(re.escape(escape) + _UNICODE_ESCAPE, character, text) + '"'
