"""Parameters: the plan's numbers as the database's parameter group has them."""

from __future__ import annotations

from broker.plan import Plan

GIVEN = "as given"  # Database.max_connections_how of a limit that broker.toml names
RESERVED_SINCE = 16  # reserved_connections; before, RDS has a parameter of its own
TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
"""The plan's numbers, in seconds; RDS takes milliseconds."""
FIXED = {
    "rds.force_ssl": "1",  # the default since 15, said aloud
    "log_connections": "1",  # behind a pooler they are few, and each is news
    "log_disconnections": "1",
    # The same as the pooler's: a peer that vanished is noticed within 60 + 3 × 10 s.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def parameters(plan: Plan, major: str) -> dict[str, str]:
    """Return what the parameter group of this major version says.

    max_connections only where broker.toml gives it: else it stays the platform's own formula,
    which follows the instance when it grows.
    """
    found = dict(FIXED)
    for name in TIMEOUTS:
        found[name] = str(plan.whole(name) * 1000)
    reserved = "reserved_connections"
    if int(major) < RESERVED_SINCE:
        reserved = "rds.rds_superuser_reserved_connections"
    found[reserved] = str(plan.whole("reserved.rds"))
    if plan.deployment.database.max_connections_how == GIVEN:
        found["max_connections"] = str(plan.whole("max_connections"))
    return found
