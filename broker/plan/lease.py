"""The leases' life: long enough that none ends before its session has."""

from __future__ import annotations

import math

from broker.cap.lease import Terms
from broker.plan.deployment import Deployment, Flavour
from broker.plan.draft import Draft

LEASE_LEAST_S = 600  # BROKER_CAP_LEASE_S's default
SPARE = 1.5  # a third of the life is gone when a use renews a lease (broker.cap.lease)


def add_lease(draft: Draft, deployment: Deployment) -> None:
    """Write down BROKER_CAP_LEASE_S, where the fleet has a cap."""
    cap, numbers = deployment.middle.cap, draft.numbers
    if cap is None or deployment.middle.flavour is not Flavour.DIRECT:
        return
    use_s = max((each.timeout_s for each in deployment.applications), default=0.0)
    statement_s = numbers["statement_timeout"]
    idle_s = max(numbers["idle_session_timeout"], numbers["idle_in_transaction_session_timeout"])
    terms = Terms("", cap, LEASE_LEAST_S)
    spare_s = terms.spare_s(use_s, statement_s + idle_s)
    numbers.whole(
        "cap_lease",
        max(LEASE_LEAST_S, math.ceil(SPARE * spare_s)),
        "s",
        f"{SPARE} × (a use of {use_s:g} s + statement {statement_s:g} s + idle {idle_s:g} s + "
        f"skew and margin {2 * terms.skew_s + terms.margin_s:g} s), at least {LEASE_LEAST_S} s",
        "statement_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        source="docs/cap.md: no session outlives its lease",
    )
