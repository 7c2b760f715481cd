"""Turns a text's parameters into $n, and tells what its statements do to a pooled session.

Both are worked out once for each distinct text and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof
from typing import NamedTuple

from broker.errors import ParameterError, UnsafeStatement, UsageError
from broker.sql import hazards
from broker.sql.cache import Cache
from broker.sql.hazards import Hazard
from broker.sql.kind import Kind, kind_of, reads
from broker.sql.lexer import Style, TokenKind, tokens
from broker.sql.phrases import after_brackets
from broker.sql.words import Words
from broker.types.parameters import MOST_PARAMETERS

KEPT_BYTES = 4 * 1024 * 1024  # thousands of statements of an ordinary size; a function has tens
_OVERHEAD_BYTES = 500  # a Statement's fields, besides its texts
_NAMED = Style.NAMED


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
    style: Style = Style.NAMED
    labels: tuple[str, ...] = ()
    """What the user calls $1 … $n: ":name", or "parameter 1"."""

    copies_writes: bool = False
    """Whether it is COPY (INSERT … RETURNING …) TO STDOUT, which writes while it sends."""

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


def _size_bytes(_: object, statement: Statement) -> int:
    named = sum(map(getsizeof, statement.names + statement.labels))
    return getsizeof(statement.sql) + getsizeof(statement.text) + named + _OVERHEAD_BYTES


_kept: Cache[str | tuple[str, str], Statement] = Cache(KEPT_BYTES, _size_bytes)


def warm_up() -> None:
    """Compile what every statement needs: 2 ms, for a Broker's creation and not for import."""
    compile("select :warm_up")


def compile(sql: str, style: Style = _NAMED) -> Statement:
    """Return the statement that this text is.

    Raises ParameterError for a $1 among :names, and for a % that is neither %s nor %%.
    """
    if not isinstance(sql, str):
        raise UsageError(f"the statement must be a str, not {type(sql).__name__}")
    key = sql if style is _NAMED else (style.value, sql)
    statement = _kept.get(key)
    if statement is None:
        statement = _compiled(sql, style)
        _kept.keep(key, statement)
    return statement


def _compiled(sql: str, style: Style) -> Statement:
    output: list[str] = []
    words, parameters, since = Words(), _Parameters(style), 0
    for token in tokens(sql, style):
        words.add(token)
        if token.kind is TokenKind.PARAMETER:
            own = words.in_body and token.text[0] == "$"  # of a function that is created
            sent = token.text if own else parameters.sent(token.text)
        elif style is Style.FORMAT:
            sent = token.text.replace("%%", "%")
        else:
            continue
        if sent != token.text:
            output += (sql[since : token.start], sent)
            since = token.end
    output.append(sql[since:])
    encoded = _encoded("".join(output))
    said = words.statements
    kind = kind_of(said)
    only_reads = all(reads(each) for each in said)
    return Statement(
        sql,
        encoded,
        tuple(parameters.names),
        kind,
        hazards.find(said, len(encoded)),
        reads=only_reads,
        sets=any(each[after_brackets(each) :][:1] in (["set"], ["reset"]) for each in said),
        style=style,
        labels=parameters.labels,
        copies_writes=kind is Kind.COPY and not only_reads and said[0][1:2] == ["("],
    )


def _encoded(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"the statement is not text that can be sent: {error}") from error
    if b"\0" in encoded:
        raise ParameterError("the statement holds a NUL character, which PostgreSQL cannot take")
    return encoded


class _Parameters:
    """The parameters of a text, numbered as they come."""

    def __init__(self, style: Style) -> None:
        self.names: dict[str, int] = {}
        self._style = style
        self._highest = 0  # of $1 … $n

    def sent(self, text: str) -> str:
        """Return what is sent in place of the parameter, and keep its name."""
        if self._style is Style.NUMERIC_DOLLAR:
            if len(text) <= len("$65535"):
                self._highest = max(self._highest, min(int(text[1:]), MOST_PARAMETERS))
            return text
        if self._style is Style.FORMAT:
            if text[0] == "$":
                return text
            if text == "%%":
                return "%"
            if text != "%s":
                raise ParameterError(f"{text} in the statement: write %s for a parameter, %% for %")
            name = str(len(self.names) + 1)
        elif text[0] == "$":
            raise ParameterError(
                f"{text} in the statement: name the parameters instead, as in "
                "db.run('select :n', n=1)"
            )
        else:
            name = text[1:]
        return f"${self.names.setdefault(name, len(self.names) + 1)}"

    @property
    def labels(self) -> tuple[str, ...]:
        """What the user calls $1 … $n."""
        if self._style is Style.NAMED:
            return tuple(f":{name}" for name in self.names)
        count = len(self.names) or self._highest
        return tuple(f"parameter {number}" for number in range(1, count + 1))


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


def refuse_without_stream(statement: Statement, stream: object) -> None:
    """Raise UnsafeStatement for a COPY that writes and has nowhere to send what it wrote."""
    if statement.copies_writes and stream is None:
        raise UnsafeStatement(f"{statement.head} needs a stream to write to: stream=…")
