"""A snapshot as metrics. Pure.

Dimensions: `server`, and `state`, `application` or `kind` where it says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from aws_lambda_powertools.metrics import MetricUnit

from broker.observe.access import AWAY, Access
from broker.observe.application import read_name
from broker.observe.backend import Backend
from broker.observe.emf import Figures, Line
from broker.observe.finding import Finding
from broker.observe.snapshot import Snapshot, total

APPLICATIONS = 10  # each is a metric that costs; the others come together
OTHERS = "(others)"
AT_REST = frozenset({None, "Client", "Activity", "Timeout", "Extension"})  # wait_event_type


def lines(
    server: str, now: Snapshot, before: Snapshot | None, findings: Sequence[Finding]
) -> Iterator[Line]:
    """Yield the metrics of one look."""
    dimensions = {"server": server}
    yield Line(dimensions, {**heartbeat(), **_totals(now), **_ended(now, before)})
    states = Counter(b.state or "hidden" for b in now.sessions)
    for state, number in states.items():
        yield Line({**dimensions, "state": state}, {"SessionsByState": _count(number)})
    for application, number in by_application(now.sessions).items():
        yield Line(
            {**dimensions, "application": application}, {"SessionsByApplication": _count(number)}
        )
    yield from found(server, findings)


def found(server: str, findings: Sequence[Finding]) -> Iterator[Line]:
    """Yield how many findings there are, also where there are none, and each kind's."""
    yield Line({"server": server}, {"Findings": _count(len(findings))})
    for kind, number in Counter(finding.kind for finding in findings).items():
        yield Line({"server": server, "kind": kind.value}, {"FindingsByKind": _count(number)})


def refused(server: str, access: Access, finding: Finding) -> Iterator[Line]:
    """Yield the metrics of a look that the server did not allow: the monitor is alive."""
    away = {"MonitorUnreachable": _count(int(access in AWAY))}
    yield Line({"server": server}, {**heartbeat(), "MonitorRefused": _count(1), **away})
    yield Line(
        {"server": server, "reason": access.name.lower()}, {"MonitorRefusedByReason": _count(1)}
    )
    yield from found(server, [finding])


def heartbeat() -> Figures:
    """Return the sign of life: its absence is an alarm."""
    return {"Heartbeat": _count(1)}


def by_application(sessions: Sequence[Backend]) -> dict[str, int]:
    """Return the largest applications' sessions, all generations alike, and the others'."""
    counts = Counter(read_name(b.application).base for b in sessions)
    largest = dict(counts.most_common(APPLICATIONS))
    rest = len(sessions) - sum(largest.values())
    return {**largest, OTHERS: rest} if rest else largest


def _totals(now: Snapshot) -> Figures:
    idle = [b for b in now.others if b.idles_in_transaction]
    used, most = len(now.sessions), now.server.max_connections
    waiting = sum(b.state == "active" and b.wait_type not in AT_REST for b in now.others)
    return {
        "MaxConnections": _count(most),
        "SessionsUsed": _count(used),
        "SessionsUsedPercent": (100 * used / most, MetricUnit.Percent),
        "IdleInTransaction": _count(len(idle)),
        "OldestIdleInTransactionSeconds": _oldest(b.state_s for b in idle),
        "OldestTransactionSeconds": _oldest(b.transaction_s for b in now.others),
        "Waiting": _count(waiting),
        "Blocked": _count(sum(bool(b.blocked_by) for b in now.others)),
        "MonitorRefused": _count(0),
        "MonitorUnreachable": _count(0),
    }


def _ended(now: Snapshot, before: Snapshot | None) -> Figures:
    """Return what the server counted since the look before, where it counts (PostgreSQL 14+)."""
    figures = {}
    for name, counter in (
        ("DatabaseSessionsAbandoned", "abandoned"),
        ("DatabaseSessionsKilled", "killed"),
    ):
        here = total(now.databases, counter)
        there = total(before.databases, counter) if before else None
        if here is not None and there is not None and here >= there:  # less: they were reset
            figures[name] = _count(here - there)
    return figures


def _oldest(ages: Iterator[float | None]) -> tuple[float, MetricUnit]:
    return max((age or 0.0 for age in ages), default=0.0), MetricUnit.Seconds


def _count(number: int) -> tuple[float, MetricUnit]:
    return number, MetricUnit.Count
