"""One round trip: which answers are expected, what came, and what the driver is to do next."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum

from broker.wire.rows import Cell, Column, Description
from broker.wire.startup import StartUp
from broker.wire.translate import Fields

MESSAGES_KEPT = 100  # notices, and notifications; pg8000 keeps as many


class Status(Enum):
    """Where a session stands, as ReadyForQuery tells it."""

    IDLE = b"I"
    TRANSACTION = b"T"
    FAILED = b"E"


class Wants(Enum):
    """What `advance` needs before it can go on."""

    NOTHING = "nothing"
    """The round trip is over."""
    BYTES = "bytes"
    """At least `missing` more bytes from the server."""
    SEND = "send"
    """`outgoing` is to be sent."""
    COPY_IN = "copy_in"
    """The server waits for COPY's data, whose end `copy_end` returns."""
    COPY_OUT = "copy_out"
    """`copied` is a piece of what COPY gives."""


class Inbox:
    """What the server says of itself while one caller has the session: kept for that caller."""

    __slots__ = ("notices", "notifications", "settings")

    def __init__(self) -> None:
        self.notices: deque[dict[bytes, bytes]] = deque(maxlen=MESSAGES_KEPT)
        """The fields of each NoticeResponse as they came, by the protocol's letters."""
        self.notifications: deque[tuple[int, str, str]] = deque(maxlen=MESSAGES_KEPT)
        """What came by NOTIFY: the backend's pid, the channel, the payload."""
        self.settings: Mapping[str, str] = {}
        """What the server reported of its settings (ParameterStatus)."""


class ResultSet:
    """The rows of one statement: their columns, and the cells gathered column by column."""

    __slots__ = ("cells", "description", "empty_rows")

    def __init__(self, description: Description) -> None:
        self.description = description
        self.cells: list[Column] = [[] for _ in description.fields]
        self.empty_rows = 0  # rows of no columns


class Exchange:
    """One round trip: which answers are expected, and what came.

    `prefixes` statements come ahead of the one whose answer is wanted, and that one is completed
    `statements` times; what follows is the suffix. A simple Query (`synced` is False) has as many
    statements as its text.
    """

    error: Fields | None = None
    """The first ErrorResponse: what came after it was skipped by the server."""
    marked = False
    """Whether its end is the ReadyForQuery behind a CloseComplete."""
    parameter_types: tuple[int, ...] = ()
    """Of a prepared statement that was described."""
    row_count = -1
    suffix_cell: Cell = None
    tag = b""

    def __init__(
        self,
        prefixes: int = 0,
        statements: int = 1,
        *,
        synced: bool = True,
        inbox: Inbox | None = None,
        starting: StartUp | None = None,
    ) -> None:
        self.prefixes = prefixes
        self.statements = statements if starting is None else 0
        self.synced = synced
        self.inbox = inbox
        self.starting = starting
        self.prefix_rows: list[list[Cell]] = []
        self.result_sets: list[ResultSet] = []
