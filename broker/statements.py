"""SQL text: its parameters turned into $n, and what it would do to a pooled session.

Both are worked out once for each distinct statement and kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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


class Style(Enum):
    """How a text marks its parameters; the values are PEP 249's names for it."""

    NAMED = "named"
    """:name, the broker's own."""
    FORMAT = "format"
    """%s, and %% for a percent sign; in strings, names and comments a single one will do, too."""
    NUMERIC_DOLLAR = "numeric_dollar"
    """$1, as the server has it."""


class Statement(NamedTuple):
    """One distinct SQL text, ready to be sent."""

    sql: str
    text: bytes
    """The text with $1 … $n for its parameters, in UTF-8."""
    names: tuple[str, ...]
    """The parameters' names; of %s it is their number that counts."""
    kind: Kind
    hazards: tuple[Hazard, ...] = ()
    """What it would leave behind on a pooled connection."""
    reads: bool = False
    """Whether it writes nothing, but for what a function that it calls does."""
    sets: bool = False
    """Whether it sets what may be the transaction's own: SET TRANSACTION READ WRITE."""

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


# What may hide a parameter from us, first; then what is one. (PostgreSQL manual, 4.1)
_QUIET = r"""
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
    """
_PARAMETER = {
    Style.NAMED: r"| (?P<parameter>(?<!\w):[^\W\d]\w*|\$\d+)",  # not a slice's, as in a[lo:hi]
    Style.FORMAT: r"| %(?P<parameter>.|\Z)",
    Style.NUMERIC_DOLLAR: r"| (?P<parameter>\$\d+)",
}
_TOKEN = {style: _QUIET + parameter for style, parameter in _PARAMETER.items()}
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
    r"|release|rollback)\b"
    r"|copy\b(?!\s*\(\s*(insert|update|delete|merge|with)\b).*\bto\s+std(in|out)\b)"
)
_SETS = r"[\s;(]*(set|reset)\b"
_COPY = r"copy\b.*\b(from|to)\s+(stdin|stdout)\b"  # the grammar takes either word for both


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Return the pattern, compiled once, at its first use."""
    verbose = text.startswith(_QUIET)
    return re.compile(text, re.VERBOSE | re.DOTALL if verbose else re.DOTALL | re.IGNORECASE)


def warm_up() -> None:
    """Compile what every statement needs: 2 ms, for a Broker's creation and not for import."""
    compile("select :warm_up")


class Token(NamedTuple):
    """A piece of a text that is read as a whole, and what stands before it."""

    between: str
    text: str
    parameter: str | None
    """A parameter's mark, without the % in format style; None for what has no meaning to us (a
    string, a comment, a word, a cast) and at the text's end.
    """


def tokens(sql: str, style: Style) -> Iterator[Token]:
    """Yield the text piece by piece; the last is empty, with the rest before it."""
    search, position = pattern(_TOKEN[style]).search, 0
    while match := search(sql, position):
        parameter = match["parameter"]
        end = match.end() if parameter is not None else _end_of_quiet(sql, match)
        yield Token(sql[position : match.start()], sql[match.start() : end], parameter)
        position = end
    yield Token(sql[position:], "", None)


@lru_cache(maxsize=CACHED_STATEMENTS)
def compile(sql: str, style: Style = Style.NAMED) -> Statement:
    """Return the statement that this text is.

    Raises ParameterError for a $1 among :names, and for a % that is neither %s nor %%.
    """
    if not isinstance(sql, str):
        raise UsageError(f"the statement must be a str, not {type(sql).__name__}")
    output: list[str] = []
    bare: list[str] = []  # the text without comments and strings
    names: dict[str, int] = {}
    for between, text, parameter in tokens(sql, style):
        output.append(between)
        bare.append(between)
        if parameter is None:
            output.append(text.replace("%%", "%") if style is Style.FORMAT else text)
            bare.append(text if _is_word(text) else " ")
        else:
            output.append(_substitute(text, parameter, style, names))
    try:
        encoded = "".join(output).encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"the statement is not text that can be sent: {error}") from error
    if b"\0" in encoded:
        raise ParameterError("the statement holds a NUL character, which PostgreSQL cannot take")
    visible = "".join(bare)
    kind = _kind(visible)
    reads = bool(pattern(_READS).match(visible))
    sets = bool(pattern(_SETS).match(visible))
    hazards = hazard.find(visible, len(encoded))
    return Statement(sql, encoded, tuple(names), kind, hazards, reads, sets)


def _substitute(text: str, parameter: str, style: Style, names: dict[str, int]) -> str:
    """Return what is sent in place of a parameter, and keep its name."""
    if style is Style.NUMERIC_DOLLAR:
        return text
    if style is Style.FORMAT:
        if parameter == "%":
            return "%"
        if parameter != "s":
            raise ParameterError(f"{text} in the statement: write %s for a parameter, %% for %")
        parameter = str(len(names) + 1)
    elif parameter[0] == "$":
        raise ParameterError(
            f"{text} in the statement: name the parameters instead, as in db.run('select :n', n=1)"
        )
    else:
        parameter = parameter[1:]
    return f"${names.setdefault(parameter, len(names) + 1)}"


def _is_word(token: str) -> bool:
    """Tell whether it is a word, or a quoted name that could have been one."""
    if token[:1] == '"':
        return token[1:-1].isidentifier()
    return (token[:1].isalpha() or token[:1] == "_") and "'" not in token


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
