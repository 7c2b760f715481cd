"""Backend: one process of the server, as pg_stat_activity shows it."""

from __future__ import annotations

from typing import NamedTuple

CLIENT = "client backend"
WALSENDER = "walsender"
HIDDEN = "<insufficient privilege>"
IN_TRANSACTION = "idle in transaction"
LONGEST_QUERY = 120
NO_NAME = "(no application_name)"


class Backend(NamedTuple):
    """Ages are in seconds; None is what there is none of, or what may not be seen.

    A tuple, since a server may have thousands: 5,000 take 2 ms to make.
    """

    pid: int
    backend_type: str | None
    user: str | None
    database: str | None
    application: str
    address: str
    """Empty for a Unix socket."""
    state: str | None
    connected_s: float | None
    transaction_s: float | None
    query_s: float | None
    state_s: float | None
    wait_type: str | None
    blocked_by: list[int] | None
    """Pids that hold what it waits for; 0 is a prepared transaction."""
    query: str

    @property
    def hidden(self) -> bool:
        """Whether the server does not let us see what it does."""
        return self.query == HIDDEN

    @property
    def is_client(self) -> bool:
        """Whether it is a session: it takes a place of max_connections.

        Of a hidden one the type is not shown either; those with a database are nearly all clients.
        """
        if self.backend_type is None:
            return self.hidden and self.database is not None
        return self.backend_type == CLIENT

    @property
    def idles_in_transaction(self) -> bool:
        """Whether it waits for its client with a transaction open, aborted or not."""
        return self.state is not None and self.state.startswith(IN_TRANSACTION)

    @property
    def name(self) -> str:
        """The application's name, as people read it."""
        return self.application or NO_NAME

    @property
    def shown_query(self) -> str:
        """The query's beginning on one line; nothing of one that sets a password."""
        if "password" in self.query.lower():
            return "(hidden: it speaks of a password)"
        line = " ".join(self.query.split())
        return line if len(line) <= LONGEST_QUERY else f"{line[: LONGEST_QUERY - 1]}…"

    def __str__(self) -> str:
        where = self.address or "a Unix socket"
        return f"pid {self.pid}, {self.name} from {where} as {self.user} on {self.database}"
