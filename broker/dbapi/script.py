"""A text of several statements: the simple protocol takes it, a single flight does not. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from broker.statements import CACHED_STATEMENTS, Style, tokens

_EDGE = re.compile(r"([;()])")
_SQL_BODY = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)
"""A function's body in SQL: its semicolons end nothing (PostgreSQL manual, CREATE FUNCTION)."""


@lru_cache(maxsize=CACHED_STATEMENTS)
def split(sql: str) -> tuple[str, ...]:
    """Return the statements that the text is made of; the text itself where it is one.

    Semicolons in strings, comments, dollar quotes and parentheses (CREATE RULE) end none.
    """
    if ";" not in sql.rstrip("; \t\r\n") or _SQL_BODY.search(sql):
        return (sql,)
    parts, current, depth, says = [], "", 0, False
    for between, text, _ in tokens(sql, Style.NUMERIC_DOLLAR):
        for piece in _EDGE.split(between):
            depth += {"(": 1, ")": -1}.get(piece, 0)
            if piece == ";" and depth <= 0:
                if says:
                    parts.append(current)
                current, says = "", False
            else:
                current += piece
                says = says or bool(piece.strip())
        current += text
        says = says or (bool(text) and not text.startswith(("--", "/*")))
    if says:
        parts.append(current)
    return tuple(parts) or (sql,)
