"""Active sessions: how many an instance serves well, whatever max_connections is."""

from __future__ import annotations

from broker.plan.deployment import Deployment
from broker.plan.draft import Draft, Limit

ACTIVE_WELL = 25  # the reference: ~25-50 active backends, regardless of max_connections
ACTIVE_MOST = 50
# A session is held over the network between statements, so about half of the sessions in a
# transaction compute; two computing ones a vCPU keep it busy. Over 50 only on the owner's word.
ACTIVE_PER_VCPU = 4


def add_active(draft: Draft, deployment: Deployment) -> int:
    """Write down how many sessions may be active at once."""
    vcpus, wanted = deployment.database.vcpus, deployment.middle.active_sessions
    inputs = []
    if vcpus is not None:
        draft.numbers.whole("vcpus", vcpus, "vCPUs", "as given, or of the instance class")
        inputs.append("vcpus")
    if wanted is not None:
        how, active = "as given: broker.active_sessions", wanted
    else:
        active = min(ACTIVE_MOST, max(ACTIVE_WELL, ACTIVE_PER_VCPU * (vcpus or 0)))
        cores = f"{ACTIVE_PER_VCPU} × {vcpus} vCPUs" if vcpus else "vCPUs unknown"
        how = f"{cores}, within {ACTIVE_WELL}-{ACTIVE_MOST}"
    if active > ACTIVE_MOST:
        draft.refuse(
            Limit.ACTIVE,
            active,
            ACTIVE_MOST,
            f"active_sessions {active} is over {ACTIVE_MOST}, beyond which one instance's "
            "throughput drops",
        )
    return draft.numbers.whole(
        "active_sessions",
        active,
        "sessions",
        how,
        *inputs,
        source="the reference: 25-50 active backends; cap by CPU too",
    )
