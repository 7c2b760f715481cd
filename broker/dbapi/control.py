"""Statements that begin or end a transaction, as code for PEP 249 may send them. Pure."""

from __future__ import annotations

from enum import Enum
from sys import getsizeof
from typing import NamedTuple

from broker.sql.cache import Cache
from broker.sql.lexer import Style, TokenKind, tokens


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


KEPT_BYTES = 256 * 1024  # thousands of statements
_VERBS = frozenset({"begin", "start", "set", "commit", "end", "rollback", "abort", "prepare"})
_NONE = Control(Verb.NONE)
_kept: Cache[str, Control] = Cache(
    KEPT_BYTES, lambda sql, control: getsizeof(sql) + getsizeof(control) + getsizeof(control.modes)
)


def control(sql: str) -> Control:
    """Return what the statement does to the transaction; Verb.NONE for almost every one."""
    found = _kept.get(sql)
    if found is None:
        found = _control(sql)
        _kept.keep(sql, found)
    return found


def _control(sql: str) -> Control:
    said: list[str] = []  # its tokens, without space and comments
    for token in tokens(sql, Style.NUMERIC_DOLLAR):
        if token.kind is TokenKind.SPACE or token.kind is TokenKind.COMMENT:
            continue
        if token.text != ";":
            said.append(token.text)
            if said[0].lower() not in _VERBS:
                return _NONE
        elif said:
            break
    return _judged(said) if said else _NONE


def _judged(said: list[str]) -> Control:
    words = [word.lower() for word in said]
    head, rest = words[0], 1
    if words[:2] == ["start", "transaction"]:
        return Control(Verb.BEGIN, " ".join(said[2:]))
    if head == "set":
        sets = words[1:2] == ["transaction"] and words[2:3] not in ([], ["snapshot"])
        return Control(Verb.SET, " ".join(said[2:])) if sets else _NONE
    if head == "prepare":
        return Control(Verb.PREPARE) if words[1:2] == ["transaction"] else _NONE
    if head == "start":
        return _NONE
    if words[1:2] in (["work"], ["transaction"]):
        rest = 2
    if head == "begin":
        return Control(Verb.BEGIN, " ".join(said[rest:]))
    if head in ("commit", "rollback") and words[1:2] == ["prepared"]:
        return Control(Verb.PREPARED)
    if head == "rollback" and words[rest : rest + 1] == ["to"]:
        return _NONE  # a savepoint, inside of the transaction
    if words[rest : rest + 2] == ["and", "chain"]:
        return Control(Verb.CHAIN)
    return Control(Verb.COMMIT if head in ("commit", "end") else Verb.ROLLBACK)
