"""Sessions of the broker's pool, for one connection of the DB-API."""

from __future__ import annotations

from broker.deadline import Deadline
from broker.outcome import Lender
from broker.wire import Session
from broker.wire.belongings import Belongings


class Wardrobe:
    """Lends what `lender` has, wearing the connection's converters, and takes them off again."""

    def __init__(self, lender: Lender, belongings: Belongings) -> None:
        self._lender = lender
        self._belongings = belongings

    def checkout(self, deadline: Deadline) -> Session:
        """Return a session that is idle and alive."""
        session = self._lender.checkout(deadline)
        self._belongings.put_on(session)
        return session

    def give_back(self, session: Session) -> None:
        """Take it back: kept if it is clean, retired if not."""
        self._belongings.take_off(session)
        self._lender.give_back(session)
