"""How a statement is run, and what the server answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from broker.types.converters import Converters
from broker.wire.exchange import Inbox
from broker.wire.rows import Field


class Reply(NamedTuple):
    """What the server answered to the statement of a round trip."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    row_count: int
    """Rows returned or changed, over the whole batch; -1 where the server counts none."""
    tag: bytes
    """The command tag, such as b"INSERT 0 1"."""
    afterwards: bytes | None = None
    """The cell that the statement behind it gave, where one was sent along."""
    described: tuple[Field, ...] = ()
    """The columns as the server describes them: `name`, `type_oid`, …"""


class Manner(NamedTuple):
    """How a statement is run, where it is not the usual way."""

    oids: Sequence[int] = ()
    """The parameters' types; -1, 0, and those left out, follow from the values."""
    stream: Any = None
    """What COPY reads from or writes to: a file, or for reading an iterable."""
    further: Sequence[bytes] = ()
    """Statements without parameters, run behind it in the same round trip."""
    converters: Converters | None = None
    """How this caller wants values sent and read, where that is not the usual way."""
    inbox: Inbox | None = None
    """Where this caller wants notices and notifications kept."""

    @property
    def single(self) -> bool:
        """Whether it is one statement that has all it needs in itself."""
        return self.stream is None and not self.further


USUAL = Manner()


class Prepared(NamedTuple):
    """A statement that the server keeps under a name."""

    name: bytes
    oids: tuple[int, ...]
    """The parameters' types, as the server inferred them."""
    described: tuple[Field, ...]
    result_formats: bytes
    """Which columns are asked for in binary, as Bind has it."""
