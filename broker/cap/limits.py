"""For how long the server keeps a session after its client's last word. Pure but for one flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from broker import bound
from broker.cap.lease import Terms
from broker.errors import CapUnsafe

NAMES = (
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "transaction_timeout",
)
SQL = ("select " + ",".join(f"current_setting('{name}',true)" for name in NAMES)).encode()
SUGGESTED_S = (240, 60, 60, 60)  # idle: as BROKER_IDLE_TIMEOUT_S; work: above a request's length


class Limits(NamedTuple):
    """The server's timeouts for the session, in seconds; 0 for none."""

    idle_s: float
    idle_in_transaction_s: float
    statement_s: float
    transaction_s: float

    @classmethod
    def read(cls, row: Sequence[object]) -> Limits:
        """Return what the answer to SQL says; a timeout that the server does not know is none."""
        return cls(*(bound.milliseconds(str(cell)) / 1000 if cell else 0.0 for cell in row))

    @property
    def afterlife_s(self) -> float:
        """How long a session lives at most after its client's last word: it works, then waits."""
        works_s = max(self.statement_s, self.transaction_s)
        waits_s = max(self.idle_s, self.idle_in_transaction_s or self.transaction_s)
        return works_s + waits_s

    @property
    def missing(self) -> tuple[str, ...]:
        """The timeouts without which a session could live for ever."""
        wanted = []
        if not self.idle_s:
            wanted.append("idle_session_timeout")
        if not self.idle_in_transaction_s and not self.transaction_s:
            wanted.append("idle_in_transaction_session_timeout")
        if not self.statement_s:
            wanted.append("statement_timeout")
        return tuple(wanted)


def refuse_unsafe(limits: Limits, use_s: float, terms: Terms, role: str) -> None:
    """Raise CapUnsafe where a lease of this life may end before its session does."""
    if limits.missing:
        suggested = dict(zip(NAMES, SUGGESTED_S, strict=True))
        remedy = "; ".join(
            f"alter role \"{role}\" set {name} = '{suggested[name]}s'" for name in limits.missing
        )
        raise CapUnsafe(
            f"{' and '.join(limits.missing)} not set for role {role}: a session of an environment "
            f"that is frozen or gone would outlive its lease of {terms.life_s:g} s. Run: {remedy}"
        )
    needed_s = terms.spare_s(use_s, limits.afterlife_s)
    if needed_s > terms.life_s:
        raise CapUnsafe(
            f"BROKER_CAP_LEASE_S={terms.life_s:g} is too short: a use of {use_s:.0f} s "
            f"(the deadline), {limits.afterlife_s:g} s that the server may keep a session "
            f"afterwards (statement {limits.statement_s:g}, transaction {limits.transaction_s:g}, "
            f"idle {limits.idle_s:g}, idle in transaction {limits.idle_in_transaction_s:g}), "
            f"{2 * terms.skew_s:g} s of clock skew and {terms.margin_s:g} s of margin make "
            f"{needed_s:.0f} s. Give it at least BROKER_CAP_LEASE_S={needed_s * 1.5:.0f}, "
            f'or lower the timeouts of role "{role}"'
        )
