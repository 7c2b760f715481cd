"""Phrases of PostgreSQL's grammar, found among a statement's words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

_QUERY = frozenset({"select", "with", "values", "table", "("})
_ANALYZE = frozenset({"analyze", "analyse", '"analyze"'})
_BARE_OPTIONS = _ANALYZE | {"verbose"}


def after_brackets(words: Sequence[str], at: int = 0) -> int:
    """Return the index of the first word from `at` on that opens no parenthesis."""
    while at < len(words) and words[at] == "(":
        at += 1
    return at


def explained(words: Sequence[str]) -> tuple[int, bool]:
    """Return where the statement begins that EXPLAIN explains, and whether it runs, too.

    Without EXPLAIN, that is the whole, which runs.
    """
    at = after_brackets(words)
    if words[at : at + 1] != ["explain"]:
        return at, True
    at, runs = at + 1, False
    if words[at : at + 1] == ["("] and words[at + 1 : at + 2] and words[at + 1] not in _QUERY:
        options = list(takewhile(lambda word: word != ")", words[at + 1 :]))
        for index, word in enumerate(options):
            if word in _ANALYZE and options[index + 1 : index + 2] not in (["false"], ["off"]):
                runs = True
        return after_brackets(words, at + len(options) + 2), runs
    while at < len(words) and words[at] in _BARE_OPTIONS:
        runs = runs or words[at] in _ANALYZE
        at += 1
    return after_brackets(words, at), runs


def into(words: Sequence[str]) -> int | None:
    """Return the index of the INTO that makes SELECT create a table; None without one."""
    begin = explained(words)[0]
    selects = words[begin : begin + 1] in (["select"], ["values"], ["table"])
    for at, word in enumerate(words):
        if word != "into" or not at or _is_label(words, at):
            continue
        if selects or words[at - 1] not in ("insert", "merge") or _is_label(words, at - 1):
            return at
    return None


def _is_label(words: Sequence[str], at: int) -> bool:
    """Return whether the keyword is only a name: a column, or what follows AS.

    AS itself may be one: in `t.as into u` and `1 as as into u`, INTO is the keyword.
    """
    before = words[at - 1] if at else ""
    return before == "." or (before == "as" and (at < 2 or words[at - 2] not in ("as", ".")))


def holds(words: Sequence[str]) -> bool:
    """Return whether DECLARE, which the words begin with, has WITH HOLD."""
    at = 2  # the cursor's name may be a keyword
    while at < len(words) and words[at] not in ("cursor", "for"):
        at += 1
    return list(words[at + 1 : at + 3]) == ["with", "hold"]
