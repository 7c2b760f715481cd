"""What the server enforces in a session, and what is sent along to change it."""

from __future__ import annotations

from collections.abc import Sequence

from broker import bound
from broker.errors import ProtocolError
from broker.wire.exchange import Exchange, Status
from broker.wire.rows import Cell


class InForce:
    """The statement_timeout of one session, and the digits that its floats come with.

    `asks_for_digits`: whether extra_float_digits could not be set at start-up, so that a role's own
    may round what is read.
    """

    def __init__(self, *, asks_for_digits: bool) -> None:
        self._limit_ms: int | None = None  # outside of transactions, once known
        self._bound_ms: int | None = None  # what was set in the transaction that is open
        self._digits_known = not asks_for_digits
        self._digits_are_few = False  # outside of transactions
        self._digits_set = False  # in the transaction that is open

    def bound_ms(self, remaining_s: float) -> int | None:
        """Return the statement_timeout that is to be sent along, or None where none is needed."""
        in_force_ms = self._limit_ms if self._bound_ms is None else self._bound_ms
        return bound.riding_ms(remaining_s, in_force_ms)

    def prefix(self, bound_ms: int | None, status: Status) -> bytes | None:
        """Return the statement that is sent ahead of another one, or None where none is needed."""
        if bound_ms is None and self._digits_known and not self._digits_are_few:
            return None
        known = self._limit_ms is not None and status is Status.IDLE
        return bound.prefix_sql(
            bound_ms,
            known=known,  # in a transaction, its own statements may have set one
            asks_for_digits=not self._digits_known,
            sets_digits=self._digits_are_few and not self._digits_set,
        )

    def learn(self, exchange: Exchange, bound_ms: int | None, before: Status, now: Status) -> None:
        """Keep what the server enforces from here on, after a round trip that began in `before`.

        Raises ProtocolError where its settings cannot be read.
        """
        if exchange.prefix_rows and before is Status.IDLE:
            self._learn_settings(exchange.prefix_rows[-1], asked_for_limit=bound_ms is not None)
        if now is Status.IDLE or exchange.tag == b"ROLLBACK":
            self._bound_ms = None  # ROLLBACK TO SAVEPOINT takes back what was set since
            self._digits_set = False
            return
        if bound_ms is not None:
            self._bound_ms = bound_ms
        if exchange.prefix_rows:
            self._digits_set = True

    def _learn_settings(self, cells: Sequence[Cell], *, asked_for_limit: bool) -> None:
        """Read what `bound.prefix_sql` asked for, as far as it did."""
        try:
            if self._limit_ms is None and asked_for_limit:
                self._limit_ms = bound.milliseconds((cells[0] or b"").decode())
            if not self._digits_known:
                self._digits_are_few = int(cells[-2] or b"") < bound.EXACT_DIGITS
                self._digits_known = True
        except (ValueError, IndexError) as error:
            raise ProtocolError(f"the server's settings cannot be read: {error}") from error
