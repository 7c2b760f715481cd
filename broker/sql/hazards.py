"""What a statement would leave behind on a server connection that others use after it. Pure.

Behind a transaction pooler the next transaction of this client may run on another server
connection, and another client's on this one: what a session sets, takes or makes stays with the
connection. RDS Proxy sees it and pins the connection to the client instead, so that nobody shares
it (RDS User Guide, "Avoiding pinning an RDS Proxy"). Only the text is read: what a function or a DO
block does inside is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise

from broker.sql.phrases import after_brackets, explained, holds, into

PINNING_BYTES = 16 * 1024  # RDS Proxy pins on a longer text (RDS User Guide, "Avoiding pinning")


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
    SEQUENCE_STATE = "sequence_state"
    """Reads the session's last number of a sequence, which may be another client's."""
    SETSEED = "setseed"
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
    Hazard.SEQUENCE_STATE: "insert … returning id, which gives the number that was just taken",
    Hazard.SETSEED: "md5(concat(:seed, id)) in place of random(): the same order for the same seed",
    Hazard.SET_LOCAL: "alter role … set, or a role of its own",
    Hazard.TEMPORARY_ON_COMMIT_DROP: "a CTE, unnest(:array), or an ordinary table",
    Hazard.CURSOR: "pages by key: where id > :last order by id limit :n",
    Hazard.SEQUENCE: "an identity column or a default, with returning",
    Hazard.SIZE: "parameters in place of literals, or tx.run_many for many rows",
}
"""What does the same within a transaction, or without the pooled connection noticing."""

_LOCKS = ("lock", "lock_shared", "unlock", "unlock_shared", "unlock_all")
_TRY_LOCKS = ("lock", "lock_shared")
_CALLS = {
    **{f"pg_advisory_{name}": Hazard.ADVISORY_LOCK for name in _LOCKS},
    **{f"pg_try_advisory_{name}": Hazard.ADVISORY_LOCK for name in _TRY_LOCKS},
    "lastval": Hazard.SEQUENCE_STATE,
    "currval": Hazard.SEQUENCE_STATE,
    "setseed": Hazard.SETSEED,
    "nextval": Hazard.SEQUENCE,
    "setval": Hazard.SEQUENCE,
    "set_config": Hazard.SET_CONFIG,
}
"""Functions of pg_catalog."""
_FUNCTIONS = {written: name for name in _CALLS for written in (name, f'"{name}"')}
_NO_CALL = frozenset(
    {"function", "procedure", "routine", "into", "table", "exists", "references", "view"}
)
"""What stands before a name that has parentheses and is not called: GRANT … ON FUNCTION f(int)."""
_TEMPORARY = frozenset({"temp", "temporary"})
_SCOPES = frozenset({"global", "local"})
_SCHEMA = frozenset({"pg_temp", '"pg_temp"'})
_CATALOG = frozenset({"pg_catalog", '"pg_catalog"'})
_SETTINGS = frozenset({"pg_settings", '"pg_settings"'})
_ENDS_CREATED_NAME = frozenset({"(", "as", "returns", "=", "for", "using"})
_NO_NAME = frozenset(
    {".", ",", ")", "from", "where", "group", "having", "window", "union", "intersect", "except"}
    | {"order", "limit", "offset", "fetch", "for", "on"}
)
"""What cannot follow INTO TEMP, if TEMP is to be the keyword and not the table's name."""
_IS_LOCAL = frozenset({"is_local", '"is_local"'})
_TRUE = (["true"], ["true", "::", "bool"], ["true", "::", "boolean"])


def find(statements: Iterable[Sequence[str]], size_bytes: int) -> tuple[Hazard, ...]:
    """Return what they would do to a pooled connection; () for almost every text."""
    found = dict.fromkeys(hazard for words in statements for hazard in _of(words))
    if size_bytes > PINNING_BYTES:
        found[Hazard.SIZE] = None
    return tuple(found)


def _of(words: Sequence[str]) -> Iterator[Hazard]:
    at, runs = explained(words)
    head = words[at] if at < len(words) else ""
    if head == "execute":
        yield Hazard.PREPARE
    if not runs:
        return
    if at == after_brackets(words):  # EXPLAIN takes none of these
        yield from _of_head(words[at : at + 2], words[at:])
    if head == "create":
        yield from _created(words[at:])
    target = into(words)
    if target is not None and _is_temporary(words, target + 1):
        yield Hazard.TEMPORARY
    if _updates_settings(words):
        yield Hazard.SET
    yield from _called(words)


def _of_head(two: Sequence[str], words: Sequence[str]) -> Iterator[Hazard]:
    head, second = [*two, "", ""][:2]
    if head == "set":
        if second == "local":
            yield Hazard.SET_LOCAL
        elif second not in ("transaction", "constraints"):
            yield Hazard.SET
    elif head == "prepare":
        if second != "transaction":
            yield Hazard.PREPARE
    elif head == "declare":
        yield Hazard.HOLD if holds(words) else Hazard.CURSOR
    elif head in _HEADS:
        yield _HEADS[head]


_HEADS = {
    "reset": Hazard.SET,
    "listen": Hazard.LISTEN,
    "unlisten": Hazard.LISTEN,
    "deallocate": Hazard.PREPARE,
    "discard": Hazard.DISCARD,
    "load": Hazard.LOAD,
}


def _created(words: Sequence[str]) -> Iterator[Hazard]:
    """Judge CREATE: TEMPORARY, or a name in the schema pg_temp."""
    at = 3 if words[1:3] == ["or", "replace"] else 1
    at += words[at : at + 1] != [] and words[at] in _SCOPES
    temporary = words[at : at + 1] != [] and words[at] in _TEMPORARY
    for word, following in pairwise(words):
        if temporary or word in _ENDS_CREATED_NAME:
            break
        temporary = word in _SCHEMA and following == "."
    if temporary:
        phrases = zip(words, words[1:], words[2:], strict=False)
        drops = ("on", "commit", "drop") in phrases
        yield Hazard.TEMPORARY_ON_COMMIT_DROP if drops else Hazard.TEMPORARY


def _is_temporary(words: Sequence[str], at: int) -> bool:
    """Tell whether INTO's table, named from `at` on, is a temporary one."""
    named = [*words[at : at + 3], "", "", ""]
    if named[0] in _SCOPES and named[1] in _TEMPORARY:
        return True
    if named[0] == "table":
        del named[0]
    if named[0] in _SCHEMA and named[1] == ".":
        return True
    return named[0] in _TEMPORARY and bool(named[1]) and named[1] not in _NO_NAME


def _updates_settings(words: Sequence[str]) -> bool:
    """Tell whether it updates the view pg_settings, whose rule calls set_config."""
    for at, word in enumerate(words):
        if word == "update":
            target = [*words[at + 1 : at + 6], ""]
            if target[0] == "only":
                del target[: after_brackets(target, 1)]
            if target[0] in _CATALOG and target[1] == ".":
                del target[:2]
            if target[0] in _SETTINGS:
                return True
    return False


def _called(words: Sequence[str]) -> Iterator[Hazard]:
    """Judge the functions of pg_catalog that are called, in one pass."""
    if _FUNCTIONS.keys().isdisjoint(words):
        return
    open_: list[list[int] | None] = []  # for each bracket: where set_config's arguments begin
    for at, word in enumerate(words):
        if word in ("(", "["):
            name = _called_before(words, at) if word == "(" else None
            open_.append([at + 1] if name == "set_config" else None)
            if name is not None and name != "set_config":
                yield _CALLS[name]
        elif word == "," and open_ and (starts := open_[-1]) is not None:
            starts.append(at + 1)
        elif word in (")", "]") and open_ and (starts := open_.pop()) is not None:
            local = _is_local(words, [*starts, at + 1])
            yield Hazard.SET_LOCAL if local else Hazard.SET_CONFIG
    if any(starts is not None for starts in open_):  # not closed: the server will refuse it
        yield Hazard.SET_CONFIG


def _called_before(words: Sequence[str], bracket: int) -> str | None:
    """Return the function of pg_catalog whose arguments the bracket opens, or None."""
    name = _FUNCTIONS.get(words[bracket - 1]) if bracket else None
    if name is None:
        return None
    before = bracket - 2
    if before >= 1 and words[before] == ".":
        if words[before - 1] not in _CATALOG:
            return None  # another schema's
        before -= 2
        if before >= 1 and words[before] == ".":  # the database
            before -= 2
    return None if before >= 0 and words[before] in _NO_CALL else name


def _is_local(words: Sequence[str], starts: Sequence[int]) -> bool:
    """Tell whether set_config's third argument is true.

    `starts` are the arguments' first words, and one past the last's comma. Anything else than the
    word true, a parameter too, may be false when it counts.
    """
    bounds = [(start, end - 1) for start, end in pairwise(starts)]
    if len(bounds) != 3:
        return False
    names = [words[start] if words[start + 1] in ("=>", ":=") else "" for start, _ in bounds]
    for (start, end), name in zip(bounds, names, strict=True):
        if name in _IS_LOCAL:
            return _is_true(words, start + 2, end)
    return not names[2] and _is_true(words, *bounds[2])


def _is_true(words: Sequence[str], start: int, end: int) -> bool:
    while start < end and words[start] == "(" and words[end - 1] == ")":
        start, end = start + 1, end - 1
    return end - start <= 3 and list(words[start:end]) in _TRUE
