"""Diagnosis: a snapshot to findings, likeliest first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from broker.observe import crowds, hoards, places, pooling, waits
from broker.observe.finding import Finding, Kind
from broker.observe.looked import Looked
from broker.observe.snapshot import Snapshot
from broker.observe.thresholds import Thresholds

Rule = Callable[[Looked], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    places.roles,
    places.databases,
    pooling.no_login,
    pooling.clients,
    places.walsenders,
    crowds.serverless,
    crowds.churn,
    pooling.bypassed,
    crowds.generations,
    hoards.leaks,
    hoards.pools,
    waits.idle_in_transaction,
    waits.long_transactions,
    waits.blocked,
    pooling.small,
    waits.prepared,
    places.unseen,
    places.hidden,
    places.full,
    pooling.limits,
    places.memory,
)
_ORDER = {kind: number for number, kind in enumerate(Kind)}


def diagnose(
    now: Snapshot,
    before: Snapshot | None = None,
    thresholds: Thresholds = Thresholds(),  # noqa: B008  frozen
) -> list[Finding]:
    """Return what is wrong, likeliest first; nothing for a server that is well.

    With an earlier snapshot it also sees how fast sessions come and go.
    """
    looked = Looked(now, before, thresholds)
    for rule in RULES:
        looked.findings.extend(rule(looked))
    return ranked(looked.findings)


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings by rank, then by the sessions that they account for."""
    return sorted(findings, key=lambda f: (f.kind.rank.value, -f.sessions, _ORDER[f.kind]))


def hidden_sessions(now: Snapshot) -> list[str]:
    """Return what to say of sessions that this role cannot judge; nothing where there are none."""
    if not now.hidden or now.server.sees_all:
        return []
    return [
        f"{now.server.user} lacks pg_monitor: it sees neither state nor query of {now.hidden} "
        f"of {now.taken} sessions, and no replication"
    ]


def blind_spots(now: Snapshot) -> list[str]:
    """Return what this role could not see, and what would show it."""
    spots = hidden_sessions(now)
    if now.memory_bytes is None:
        spots.append("the machine's memory, which only a superuser may read: give --memory")
    if now.opened is None:
        spots.append("how many sessions come and go: PostgreSQL counts them since 14")
    if now.pooler is None:
        spots.append("the pooler, if there is one: give --pgbouncer")
    return spots
