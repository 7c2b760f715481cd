"""Failure: how a request ends that is not answered."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """Why; the value is what --json calls it."""

    THROTTLED = "throttled"
    """Lambda refused the invocation: concurrency, or environments that start too slowly."""
    REFUSED = "refused"
    """Direct: 53300, and no session was free until the deadline."""
    CAPPED = "capped"
    """Direct: the fleet-wide cap was reached until the deadline."""
    NO_CLIENT_SLOT = "no_client_slot"
    """PgBouncer's max_client_conn was reached until the deadline."""
    TIMED_OUT = "timed_out"
    """query_wait_timeout, RDS Proxy's borrow timeout, or a service's own time."""
