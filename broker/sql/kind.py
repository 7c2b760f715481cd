"""How a text may be sent, and whether it writes, by the words of its statements. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise

from broker.sql.phrases import after_brackets, explained, holds, into


class Kind(Enum):
    """How a statement may be sent."""

    ORDINARY = "ordinary"
    """Anything that may share a flight with other statements."""
    ALONE = "alone"
    """Outside of a transaction nothing may be sent along with it. Company makes an implicit
    transaction block, where PostgreSQL refuses VACUUM, where a procedure cannot commit, and where
    PostgreSQL accepts LOCK TABLE, which does nothing there."""
    CONTROL = "control"
    """Begins or ends a transaction."""
    COPY = "copy"
    """Turns the session over to COPY's own protocol."""


def kind_of(statements: Sequence[Sequence[str]]) -> Kind:
    """Return how the text may be sent. The strictest of its statements counts.

    Among several, those that need a transaction block have one, since the others are in it.
    """
    if len(statements) == 1 and _needs_block(statements[0]):
        return Kind.ALONE
    kinds = {_kind_of_one(words) for words in statements}
    return next((kind for kind in _STRICTEST if kind in kinds), Kind.ORDINARY)


_STRICTEST = (Kind.CONTROL, Kind.COPY, Kind.ALONE)


def _kind_of_one(words: Sequence[str]) -> Kind:
    words = words[after_brackets(words) :]
    head, second = [*words[:2], "", ""][:2]
    if head == "rollback":
        return Kind.ORDINARY if _rolls_back_to_savepoint(words) else Kind.CONTROL
    if head in _CONTROL or (head, second) in _CONTROL_PAIRS:
        return Kind.CONTROL
    if head == "copy":
        return Kind.COPY if _streams(words) else Kind.ORDINARY
    if head in _ALONE or (head in _DEFINES and second in _CLUSTER_WIDE):
        return Kind.ALONE
    if (head, second) == ("alter", "system"):
        return Kind.ALONE
    if (head in _DEFINES or head == "refresh") and "concurrently" in words:
        return Kind.ALONE
    return Kind.ORDINARY


_CONTROL = frozenset({"begin", "commit", "end", "abort"})
_CONTROL_PAIRS = frozenset({("start", "transaction"), ("prepare", "transaction")})
# Statements that call PreventInTransactionBlock(), or that may commit by themselves.
_ALONE = frozenset({"vacuum", "call", "do", "discard", "cluster", "checkpoint", "reindex"})
_DEFINES = frozenset({"create", "drop", "alter"})
_CLUSTER_WIDE = frozenset({"database", "tablespace", "subscription"})
# Statements that call RequireTransactionBlock() or WarnNoTransactionBlock().
_WITHIN_BLOCK = frozenset({"lock", "savepoint", "release"})
_SETS_WITHIN_BLOCK = frozenset({"transaction", "local", "constraints"})


def _needs_block(words: Sequence[str]) -> bool:
    """Return whether PostgreSQL accepts the statement within a transaction block only."""
    words = words[after_brackets(words) :]
    head, second = [*words[:2], "", ""][:2]
    if head == "set":
        return second in _SETS_WITHIN_BLOCK
    if head == "declare":
        return not holds(words)
    return head in _WITHIN_BLOCK or (head == "rollback" and _rolls_back_to_savepoint(words))


def _rolls_back_to_savepoint(words: Sequence[str]) -> bool:
    at = 2 if words[1:2] in (["work"], ["transaction"]) else 1
    return words[at : at + 1] == ["to"]


def _streams(words: Sequence[str]) -> bool:
    """Return whether COPY uses the client's stream; the grammar takes either word for both ways."""
    depth = 0
    for word, following in pairwise(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if not depth and word in ("from", "to"):
            return following in ("stdin", "stdout")
    return False


_READS = frozenset(
    {"", "show", "declare", "fetch", "move", "close", "set", "lock", "savepoint", "release"}
)
_QUERIES = frozenset({"select", "values", "table"})


def reads(words: Sequence[str]) -> bool:
    """Return whether the statement writes nothing, but for what functions that it calls do."""
    at, runs = explained(words)
    if not runs:
        return True
    words = words[at:]
    head = words[0] if words else ""
    if head == "rollback":
        return True
    if head == "copy":
        return _copies_out(words)
    return head in _READS or (head in _QUERIES and into(words) is None)


def _copies_out(words: Sequence[str]) -> bool:
    """Return whether COPY only sends what it reads to the client."""
    if words[1:2] == ["("]:
        first = words[after_brackets(words, 1) :][:1]
        return bool(first) and first[0] in _QUERIES and _streams(words)
    return "to" in words and "from" not in words and _streams(words)
