"""The guard: what must not be sent to a pooled connection is not, and the error says what to do."""

from __future__ import annotations

from broker.errors import PoolingHazard
from broker.settings import Flavour, GuardMode
from broker.sql import INSTEAD, Hazard, Kind, Statement, refuse_unsafe
from broker.sql.cache import Cache

TOLD_BYTES = 64 * 1024  # which statements were warned of: some hundreds
HASH_BYTES = 128  # one of them, in a dict


class Guard:
    """Refuses, or only reports, what would outlive its transaction on a shared connection."""

    def __init__(self, flavour: Flavour, mode: GuardMode) -> None:
        self._flavour = flavour
        self._mode = GuardMode.OFF if flavour is Flavour.DIRECT else mode
        self._told: Cache[int, bool] = Cache(TOLD_BYTES, lambda _hash, _told: HASH_BYTES)

    def check(self, statement: Statement) -> None:
        """Raise UnsafeStatement for what a shared session must not be sent.

        PoolingHazard is one that the flavour cannot bear; it may also be warned of, once.
        """
        if statement.kind is not Kind.ORDINARY:
            refuse_unsafe(statement)
        self.check_lent(statement)

    def check_lent(self, statement: Statement) -> None:
        """Do so for a session that is lent out whole, which may COPY and begin by itself."""
        if not statement.hazards or self._mode is GuardMode.OFF:
            return
        pinned = self._flavour.pins_on_settings
        harmful = [each for each in statement.hazards if pinned or not each.only_pins]
        if not harmful:
            return
        sentence = self._sentence(statement, harmful[0])
        if self._mode is GuardMode.REFUSE:
            raise PoolingHazard(sentence, hazard=harmful[0])
        told_of = hash(statement.sql)
        if not self._told.get(told_of):
            import logging  # late for its weight

            self._told.keep(told_of, True)
            told = {"hazard": harmful[0].value}
            logging.getLogger("broker").warning("%s", sentence, extra=told)

    def _sentence(self, statement: Statement, hazard: Hazard) -> str:
        why = (
            "would pin an RDS Proxy connection to this client"
            if self._flavour.pins_on_settings
            else "would stay with a server connection that other clients use"
        )
        return (
            f"{statement.head} {why} ({hazard.value}). Instead: {INSTEAD[hazard]}. "
            "BROKER_GUARD=warn or off lets it through"
        )
