"""A text of several statements: the simple protocol takes it, a single flight does not. Pure."""

from __future__ import annotations

from sys import getsizeof

from broker.sql.cache import Cache
from broker.sql.lexer import Style, TokenKind, tokens
from broker.sql.words import Words

KEPT_BYTES = 1024 * 1024  # scripts are rarely sent twice
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_kept: Cache[str, tuple[str, ...]] = Cache(
    KEPT_BYTES, lambda sql, parts: getsizeof(sql) + sum(map(getsizeof, parts))
)


def split(sql: str) -> tuple[str, ...]:
    """Return the statements that the text is made of; the text itself where it is one.

    Semicolons in strings, comments, dollar quotes, parentheses (CREATE RULE) and BEGIN ATOMIC … END
    end none.
    """
    if ";" not in sql.rstrip("; \t\r\n"):
        return (sql,)
    parts = _kept.get(sql)
    if parts is None:
        parts = _parts(sql)
        _kept.keep(sql, parts)
    return parts


def _parts(sql: str) -> tuple[str, ...]:
    words, parts, since, says = Words(), [], 0, False
    for token in tokens(sql, Style.NUMERIC_DOLLAR):
        if words.add(token):
            if says:
                parts.append(sql[since : token.start])
            since, says = token.end, False
        else:
            says = says or token.kind not in _SILENT
    if says:
        parts.append(sql[since:])
    return tuple(parts) or (sql,)
