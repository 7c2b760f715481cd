"""Reaper: ends sessions that idle in transaction for too long; says which, unless told to."""

from __future__ import annotations

from constructs import Construct

from .watch_settings import Reaping
from .watcher import Watched, Watcher


class Reaper(Watcher):
    """`broker reap` on a schedule, with the policy of [deploy.reaper]."""

    def __init__(self, scope: Construct, id: str, *, watched: Watched, policy: Reaping) -> None:
        users = sorted({pair.user for pair in watched.plan.deployment.middle.pairs})
        super().__init__(
            scope,
            id,
            noun="reaper",
            description="Ends sessions that idle in transaction"
            if policy.end
            else "Says which sessions idle in transaction for too long: a dry run",
            role=watched.names.reaper,
            watched=watched,
            every_min=policy.every_min,
            more={
                "APPLICATIONS": " ".join(policy.applications),
                "ROLES": " ".join(users),
                "EXCLUDED": " ".join(policy.excluded),
                "IDLE_S": str(policy.idle_s),
                "AT_MOST": str(policy.at_most),
                "END": "1" if policy.end else "0",
            },
        )
