"""Statements that begin or end a transaction, as code for PEP 249 may send them. Pure."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from broker.statements import CACHED_STATEMENTS, Style, tokens


class Verb(Enum):
    """What a statement does to the transaction."""

    BEGIN = "begin"
    SET = "set transaction"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    PREPARE = "prepare transaction"
    PREPARED = "commit or rollback prepared"
    """It ends a transaction that was prepared, not the one that is open."""
    CHAIN = "and chain"
    NONE = "none"


class Control(NamedTuple):
    """What it does, and with which modes (`isolation level serializable read only`)."""

    verb: Verb
    modes: str = ""


_OPTIONAL = r"(\s+(work|transaction))?"
_FORMS = (
    (Verb.BEGIN, rf"(begin{_OPTIONAL}|start\s+transaction)\b(?P<modes>.*)"),
    (Verb.SET, r"set\s+transaction\s+(?!snapshot\b)(?P<modes>.*)"),
    (Verb.PREPARED, r"(commit|rollback)\s+prepared\b"),
    (Verb.PREPARE, r"prepare\s+transaction\b"),
    (Verb.NONE, rf"rollback{_OPTIONAL}\s+to\b"),  # a savepoint, inside of the transaction
    (Verb.CHAIN, rf"(commit|end|rollback|abort){_OPTIONAL}\s+and\s+chain\b"),
    (Verb.COMMIT, r"(commit|end)\b"),
    (Verb.ROLLBACK, r"(rollback|abort)\b"),
)
_PATTERNS = [(verb, re.compile(text, re.IGNORECASE | re.DOTALL)) for verb, text in _FORMS]


@lru_cache(maxsize=CACHED_STATEMENTS)
def control(sql: str) -> Control:
    """Return what the statement does to the transaction; Verb.NONE for almost every one."""
    said = "".join(
        between + (" " if text.startswith(("--", "/*")) else text)
        for between, text, _ in tokens(sql, Style.NUMERIC_DOLLAR)
    ).strip("; \t\r\n")
    for verb, pattern in _PATTERNS:
        match = pattern.match(said)
        if match:
            return Control(verb, match.groupdict().get("modes", "").strip())
    return Control(Verb.NONE)
