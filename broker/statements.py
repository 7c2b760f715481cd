"""SQL text: its :names turned into $n, and what it would do to a pooled session.

Both are worked out once for each distinct statement and kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple

from broker import hazard
from broker.errors import ParameterError, UnsafeStatement, UsageError
from broker.hazard import Hazard

CACHED_STATEMENTS = 512  # distinct texts kept; a function has tens


class Kind(Enum):
    """How a statement may be sent."""

    ORDINARY = "ordinary"
    """Anything that may share a flight with other statements."""
    ALONE = "alone"
    """In company it would be in a transaction block, where PostgreSQL refuses it, or where a
    procedure cannot commit."""
    CONTROL = "control"
    """Begins or ends a transaction."""
    COPY = "copy"
    """Turns the session over to COPY's own protocol."""


class Statement(NamedTuple):
    """One distinct SQL text, ready to be sent."""

    sql: str
    text: bytes
    """The text with $1 … $n in place of :names, in UTF-8."""
    names: tuple[str, ...]
    kind: Kind
    hazards: tuple[Hazard, ...] = ()
    """What it would leave behind on a pooled connection."""
    reads: bool = False
    """Whether it writes nothing, but for what a function that it calls does."""

    @property
    def head(self) -> str:
        """How it begins, for an error's text."""
        text = " ".join(self.sql.split())
        return text if len(text) <= 40 else f"{text[:39]}…"

    def values(self, params: Mapping[str, object]) -> list[object]:
        """Return the parameters in the order of $1 … $n; raises ParameterError."""
        if not isinstance(params, Mapping):
            raise ParameterError(f"a row of parameters must be a dict by name, not {params!r:.60}")
        try:
            values = [params[name] for name in self.names]
        except KeyError:
            raise ParameterError(self._mismatch(params)) from None
        if len(values) != len(params):
            raise ParameterError(self._mismatch(params))
        return values

    def _mismatch(self, params: Mapping[str, object]) -> str:
        missing = [name for name in self.names if name not in params]
        extra = [name for name in params if name not in self.names]
        said = []
        if missing:
            said.append(f"the statement needs {_listed(missing)}, which was not given")
        if extra:
            said.append(f"{_listed(extra)} was given, but the statement has no such parameter")
            import difflib  # late for its weight

            near = difflib.get_close_matches(extra[0], missing or self.names, n=1)
            if near:
                said.append(f"did you mean {near[0]}=…?")
        return "; ".join(said)


def _listed(names: list[str]) -> str:
    return ", ".join(f":{name}" for name in names)


# What may hide a colon from us, first; then what is a parameter. (PostgreSQL manual, 4.1)
_TOKEN = r"""
      (?P<quiet>
          [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)       # E'…' with backslash escapes, and where
            (?:\s*[\r\n]\s*'(?:[^'\\]|\\.|'')*(?:'|\Z))*  # it goes on in a further line
        | '[^']*(?:''[^']*)*(?:'|\Z)           # '…'
        | "[^"]*(?:""[^"]*)*(?:"|\Z)           # "identifier"
        | --[^\r\n]*                            # comment to the line's end
        | /\*                                   # comment that nests: skipped by hand
        | \$(?P<tag>(?:[^\W\d]\w*)?)\$          # $tag$ …: skipped by hand
        | [^\W\d][\w$]*                         # a word, which may hold a $
        | ::                                    # a cast
        | :=                                    # a named argument
      )
    | (?<!\w):(?P<name>[^\W\d]\w*)           # not a slice's, as in a[lo:hi]
    | (?P<number>\$\d+)
    """
_COMMENT_EDGE = r"/\*|\*/"
_LEADING = r"[\s;(]+"
_CONTROL = (
    r"(begin|start\s+transaction|commit|end|abort|prepare\s+transaction"
    r"|rollback(?!(\s+(work|transaction))?\s+to\b))\b"
)
# Statements that call PreventInTransactionBlock(), or that may commit by themselves.
_ALONE = (
    r"(vacuum|call|do|discard|cluster|checkpoint|reindex|alter\s+system"
    r"|(create|drop|alter)\s+(database|tablespace|subscription))\b"
    r"|(create|drop|alter|refresh)\b.*\bconcurrently\b"
)
_READS = (
    r"[\s;(]*(\Z|(select|values|table|show|explain|declare|fetch|move|close|set|lock|savepoint"
    r"|release|rollback)\b)"
)
_COPY = r"copy\b.*\b(from\s+stdin|to\s+stdout)\b"


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Return the pattern, compiled once, at its first use."""
    return re.compile(text, re.VERBOSE | re.DOTALL if text is _TOKEN else re.DOTALL | re.IGNORECASE)


def warm_up() -> None:
    """Compile what every statement needs: 2 ms, for a Broker's creation and not for import."""
    compile("select :warm_up")


@lru_cache(maxsize=CACHED_STATEMENTS)
def compile(sql: str) -> Statement:
    """Return the statement that this text is; raises ParameterError for a $1 in it."""
    if not isinstance(sql, str):
        raise UsageError(f"the statement must be a str, not {type(sql).__name__}")
    output: list[str] = []
    bare: list[str] = []  # the text without comments and strings
    names: dict[str, int] = {}
    search, position = pattern(_TOKEN).search, 0
    while match := search(sql, position):
        between = sql[position : match.start()]
        position = match.end()
        if name := match["name"]:
            token = f"${names.setdefault(name, len(names) + 1)}"
            bare.append(between)
        elif match["number"]:
            raise ParameterError(
                f"{match['number']} in the statement: name the parameters instead, as in "
                "db.run('select :n', n=1)"
            )
        else:
            position = _end_of_quiet(sql, match)
            token = sql[match.start() : position]
            bare.append(between + (token if _is_word(token) else " "))
        output += (between, token)
    rest = sql[position:]
    try:
        text = "".join((*output, rest)).encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"the statement is not text that can be sent: {error}") from error
    if b"\0" in text:
        raise ParameterError("the statement holds a NUL character, which PostgreSQL cannot take")
    visible = "".join((*bare, rest))
    kind = _kind(visible)
    reads = bool(pattern(_READS).match(visible))
    return Statement(sql, text, tuple(names), kind, hazard.find(visible, len(text)), reads)


def _is_word(token: str) -> bool:
    """Tell whether it is a word, or a quoted name that could have been one."""
    if token[0] == '"':
        return token[1:-1].isidentifier()
    return (token[0].isalpha() or token[0] == "_") and "'" not in token


def _end_of_quiet(sql: str, match: re.Match[str]) -> int:
    """Return where the token ends that `match` begins: two kinds need more than a pattern."""
    token = match["quiet"]
    if token == "/*":
        depth, end = 1, match.end()
        while depth and (edge := pattern(_COMMENT_EDGE).search(sql, end)):
            depth += 1 if edge[0] == "/*" else -1
            end = edge.end()
        return len(sql) if depth else end
    if match["tag"] is not None:
        end = sql.find(token, match.end())
        return len(sql) if end < 0 else end + len(token)
    return match.end()


def _kind(bare: str) -> Kind:
    start = pattern(_LEADING).match(bare)
    at = start.end() if start else 0
    for kind, text in ((Kind.CONTROL, _CONTROL), (Kind.COPY, _COPY), (Kind.ALONE, _ALONE)):
        if pattern(text).match(bare, at):
            return kind
    return Kind.ORDINARY


def refuse_unnamed(values: tuple[object, ...]) -> None:
    """Raise ParameterError for parameters given by position."""
    if values:
        raise ParameterError(
            "parameters are given by name, as in db.run('select :n', n=1); a dict by **"
        )


def refuse_unsafe(statement: Statement) -> None:
    """Raise UnsafeStatement for what a shared session must not be sent."""
    if statement.kind is Kind.CONTROL:
        raise UnsafeStatement(
            f"{statement.head} would begin or end a transaction behind the broker's back: "
            "use `with db.transaction() as tx:`"
        )
    if statement.kind is Kind.COPY:
        raise UnsafeStatement(
            f"{statement.head} needs a stream: use `with db.session() as session: "
            "session.run('copy …', stream=…)`"
        )
