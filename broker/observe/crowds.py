"""Crowds: many who have a session each, and generations that overlap.

Both only matter where places are short, so before `pressed` they say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from broker.observe.application import grouped, owner
from broker.observe.backend import Backend
from broker.observe.finding import Finding, Kind, literal, shown
from broker.observe.looked import Looked
from broker.observe.words import age, count

END_IDLE = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle' and"
SERVERLESS_REMEDY = (
    "Put PgBouncer or RDS Proxy in front of PostgreSQL: Lambda's concurrency times its sessions "
    "comes to thousands in seconds, and PostgreSQL cannot absorb that. `broker plan` sizes it."
)
SERVERLESS_APPLY = (
    "pool_mode = transaction",
    "max_client_conn = 2000",
    "default_pool_size = 25",
    "reserve_pool_size = 5",
)
GENERATIONS_REMEDY = (
    "Give the deploy room: drain the old generation before the new one fills its pools, or plan "
    "for both at once (`overlap` in broker.toml). A pooler in front smooths it. If it passes "
    "within a minute, it was the deploy."
)


def serverless(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each fleet whose environments have a session each."""
    limits = looked.thresholds
    for who, sessions in grouped(looked.unpooled_at_rest, owner).items():
        addresses = len({b.address for b in sessions})
        ages = [b.connected_s or 0.0 for b in sessions]
        each = len(sessions) / addresses
        if len(sessions) < limits.crowd or median(ages) > limits.young_s or not looked.pressed:
            continue
        spread = addresses >= limits.addresses and each <= limits.each_address_few
        if not spread and not _burst(sessions, each, looked):
            continue
        recent = sum(seconds <= limits.burst_s for seconds in ages)
        at = count(addresses, "address")
        yield Finding(
            Kind.SERVERLESS,
            f"{who}: {count(len(sessions), 'session')} from {at}, {_opened(recent, ages)}: "
            "each environment has a session of its own, and nothing shares them.",
            (
                f"{each:.1f} sessions an address, {_states(sessions)}",
                f"half of them are younger than {age(median(ages))}, "
                f"the oldest has been connected for {age(max(ages))}",
                *_churn(looked),
                *(
                    ()
                    if spread
                    else (
                        f"one interface or NAT gateway stands for many environments: if {at} is "
                        "a single process, then it is its pool that is too large",
                    )
                ),
            ),
            SERVERLESS_REMEDY,
            SERVERLESS_APPLY,
            len(sessions),
        )


def churn(looked: Looked) -> Iterator[Finding]:
    """Yield a finding where sessions come and go as if each request had its own."""
    rate = looked.opened_per_s
    places = looked.now.server.ordinary_limit
    if rate is None or rate * 60 < places or looked.found(Kind.SERVERLESS):
        return
    yield Finding(
        Kind.SERVERLESS,
        f"{rate:.1f} sessions are opened a second, {rate * 60:.0f} a minute, where {places} have "
        "room: each request opens a session and closes it again.",
        (f"{count(looked.now.taken, 'session')} at this moment",),
        SERVERLESS_REMEDY,
        SERVERLESS_APPLY,
        looked.now.taken,
    )


def generations(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each application of which two versions hold sessions."""
    if not looked.pressed:
        return
    for who, sessions in grouped(looked.unpooled, owner).items():
        versions = looked.generations(sessions)
        if not versions:
            continue
        newest = min(versions, key=lambda version: oldest(versions[version]))
        older = [b for version, held in versions.items() if version != newest for b in held]
        yield Finding(
            Kind.GENERATIONS,
            f"{who}: {len(versions)} generations hold {count(len(sessions), 'session')} "
            f"together, {len(older)} of them of the older.",
            shown(
                [
                    f"{held[0].name}: {count(len(held), 'session')}, {_states(held)}, "
                    f"the first connected {age(oldest(held))} ago"
                    for held in versions.values()
                ]
            ),
            GENERATIONS_REMEDY,
            tuple(
                f"{END_IDLE} application_name = {literal(name)};"
                for name in sorted({b.application for b in older})
            ),
            len(older),
        )


def oldest(sessions: list[Backend]) -> float:
    """Return the age of the session that was connected first."""
    return max(b.connected_s or 0.0 for b in sessions)


def _burst(sessions: list[Backend], each: float, looked: Looked) -> bool:
    """Tell whether they came all at once, and were no pool and no deploy."""
    limits = looked.thresholds
    young = sum((b.connected_s or 0.0) <= limits.burst_s for b in sessions)
    return (
        young >= limits.burst_share * len(sessions)
        and each >= limits.burst_each_address
        and not looked.generations(sessions)
    )


def _opened(recent: int, ages: list[float]) -> str:
    if recent == len(ages):
        return f"all opened within the last {age(max(ages))}"
    return f"{recent} of them opened within the last minute"


def _churn(looked: Looked) -> tuple[str, ...]:
    rate = looked.opened_per_s
    return () if rate is None else (f"{rate:.1f} sessions are opened a second",)


def _states(sessions: list[Backend]) -> str:
    groups = grouped(sessions, lambda b: b.state or "hidden")
    return ", ".join(f"{len(found)} {state}" for state, found in groups.items())
