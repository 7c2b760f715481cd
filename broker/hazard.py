"""What a statement would leave behind on a server connection that others use after it. Pure.

Behind a transaction pooler the next transaction of this client may run on another server
connection, and another client's on this one: what a session sets, takes or makes stays with the
connection. RDS Proxy sees it and pins the connection to the client instead, so that nobody shares
it (FACTS 4). Only the text is read: what a function or a DO block does inside is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import cache

PINNING_BYTES = 16 * 1024  # RDS Proxy pins on a longer text (FACTS 4)


class Hazard(Enum):
    """What it is; the value names it in log fields."""

    SET = "set"
    SET_CONFIG = "set_config"
    LISTEN = "listen"
    PREPARE = "prepare"
    TEMPORARY = "temporary"
    ADVISORY_LOCK = "advisory_lock"
    DISCARD = "discard"
    HOLD = "hold"
    LOAD = "load"
    # Of no harm behind PgBouncer; RDS Proxy pins on them.
    SET_LOCAL = "set_local"
    TEMPORARY_ON_COMMIT_DROP = "temporary_on_commit_drop"
    CURSOR = "cursor"
    SEQUENCE = "sequence"
    SIZE = "size"

    @property
    def only_pins(self) -> bool:
        """Whether it lasts no longer than its transaction, and yet RDS Proxy pins on it."""
        return self in _ONLY_PINS


_ONLY_PINS = frozenset(
    {
        Hazard.SET_LOCAL,
        Hazard.TEMPORARY_ON_COMMIT_DROP,
        Hazard.CURSOR,
        Hazard.SEQUENCE,
        Hazard.SIZE,
    }
)

INSTEAD = {
    Hazard.SET: "in a transaction select set_config('name', 'value', true), or alter role … set",
    Hazard.SET_CONFIG: "give set_config the literal true as its third argument, in a transaction",
    Hazard.LISTEN: "listen on a direct connection; notify works everywhere",
    Hazard.PREPARE: "leave it out: every statement is one flight without it",
    Hazard.TEMPORARY: "in a transaction create temporary table … on commit drop, or a CTE",
    Hazard.ADVISORY_LOCK: "pg_advisory_xact_lock, which ends with its transaction",
    Hazard.DISCARD: "leave it out: nothing was left behind that it could discard",
    Hazard.HOLD: "a cursor without hold, inside of one transaction",
    Hazard.LOAD: "shared_preload_libraries or session_preload_libraries on the server",
    Hazard.SET_LOCAL: "alter role … set, or a role of its own",
    Hazard.TEMPORARY_ON_COMMIT_DROP: "a CTE, unnest(:array), or an ordinary table",
    Hazard.CURSOR: "pages by key: where id > :last order by id limit :n",
    Hazard.SEQUENCE: "an identity column or a default, with returning",
    Hazard.SIZE: "parameters in place of literals, or tx.run_many for many rows",
}
"""What does the same within a transaction, or without the pooled connection noticing."""

# What a statement begins with. `bare` has neither comments nor strings in it.
_AT_HEAD = (
    (Hazard.SET_LOCAL, r"set\s+local\b"),
    (Hazard.SET, r"(set(?!\s+(transaction|constraints|local)\b)|reset)\b"),
    (Hazard.LISTEN, r"(un)?listen\b"),
    (Hazard.PREPARE, r"(prepare(?!\s+transaction\b)|execute|deallocate)\b"),
    (Hazard.DISCARD, r"discard\b"),
    (Hazard.LOAD, r"load\b"),
    (Hazard.HOLD, r"declare\b.*\bwith\s+hold\b"),
    (Hazard.CURSOR, r"declare\b(?!.*\bwith\s+hold\b)"),
)
_TEMPORARY = (
    r"create\s+(or\s+replace\s+)?((global|local)\s+)?temp(orary)?\s"
    r"|create\b.{0,80}?\b\"?pg_temp\"?\s*\."
    r"|.*(?<!\s)(?<!insert)(?<!merge)\s+into\s+((global|local)\s+)?temp(orary)?\s"
)
_ON_COMMIT_DROP = r".*\bon\s+commit\s+drop\b"
_ANYWHERE = (
    (Hazard.ADVISORY_LOCK, r"\bpg_(try_)?advisory_(lock|unlock)\w*\"?\s*\("),
    (Hazard.SEQUENCE, r"\b(nextval|setval)\"?\s*\("),
)
_SET_CONFIG = r"\bset_config\"?\s*\("
_LEADING = r"[\s(]+"
_EDGE = r"[(),]"


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL | re.IGNORECASE)


def find(bare: str, size_bytes: int) -> tuple[Hazard, ...]:
    """Return what the text would do to a pooled connection; () for almost every statement.

    `bare` is the text without comments and strings; quoted names are in it, with their quotes.
    """
    found = dict.fromkeys(h for one in bare.split(";") for h in _of_one(one))
    if size_bytes > PINNING_BYTES:
        found[Hazard.SIZE] = None
    return tuple(found)


def _of_one(bare: str) -> Iterator[Hazard]:
    start = _pattern(_LEADING).match(bare)
    at = start.end() if start else 0
    for hazard, text in _AT_HEAD:
        if _pattern(text).match(bare, at):
            yield hazard
    if _pattern(_TEMPORARY).match(bare, at):
        drops = _pattern(_ON_COMMIT_DROP).match(bare, at)
        yield Hazard.TEMPORARY_ON_COMMIT_DROP if drops else Hazard.TEMPORARY
    for hazard, text in _ANYWHERE:
        if _pattern(text).search(bare):
            yield hazard
    for call in _pattern(_SET_CONFIG).finditer(bare):
        yield Hazard.SET_LOCAL if _is_local(bare, call.end()) else Hazard.SET_CONFIG


def _is_local(bare: str, at: int) -> bool:
    """Tell whether set_config's third argument, the call's parenthesis just before `at`, is true.

    Anything else, a parameter too, may be false when it counts.
    """
    depth, arguments, since = 1, [], at
    for edge in _pattern(_EDGE).finditer(bare, at):
        depth += {"(": 1, ")": -1}.get(edge[0], 0)
        if depth == 0 or (depth == 1 and edge[0] == ","):
            arguments.append(bare[since : edge.start()])
            since = edge.end()
        if depth == 0:
            break
    third = arguments[2] if len(arguments) == 3 else ""
    return third.rpartition("=>")[2].strip().lower() == "true"
