"""Thresholds: from when on something is a finding. Pure, and each number's one home."""

from __future__ import annotations

from dataclasses import dataclass

from broker.plan.sessions import ALARM_SHARE


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times are in seconds; what has no reason beside it is the reference's own number."""

    used_share: float = ALARM_SHARE
    idle_in_transaction_s: float = 30.0  # no function is in the middle of anything for so long
    idle_in_transaction_share: float = 0.2  # of the limit: so many at once are no coincidence
    pause_s: float = 1.0  # … unless they only pause between two statements
    long_transaction_s: float = 300.0
    prepared_s: float = 300.0  # a transaction manager commits within seconds
    blocked_s: float = 5.0  # a lock that is held for a statement or two is gone by then
    pile_up: int = 10  # so many waiters need no patience
    pool_most: int = 8  # "5-10 each is usually plenty"; its example has 8
    pool_least: int = 5
    crowd: int = 10  # fewer sessions are no fleet
    young_s: float = 900.0  # environments live for minutes, pools for days
    each_address_few: float = 2.0  # an environment has one session, two in a hand-over
    addresses: int = 10
    burst_s: float = 60.0
    burst_share: float = 0.8
    burst_each_address: int = 25  # behind one interface or NAT gateway: more than any sane pool
    leaked: int = 5
    leaked_idle_s: float = 3_600.0
    used_once_share: float = 0.1  # of a session's life, and never again
    client_share: float = 0.9  # of PgBouncer's max_client_conn
    pooler_wait_s: float = 1.0
