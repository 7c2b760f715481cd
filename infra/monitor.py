"""Monitor: looks at the database once a minute, over a session that is kept for it."""

from __future__ import annotations

from constructs import Construct

from .watcher import Watched, Watcher

EVERY_MIN = 1  # what the alarms' periods count on


class Monitor(Watcher):
    """The doctor's code on a schedule: metrics, findings, and a heartbeat."""

    def __init__(self, scope: Construct, id: str, *, watched: Watched) -> None:
        super().__init__(
            scope,
            id,
            noun="monitor",
            description="Looks how full the database is, and why",
            role=watched.names.monitor,
            watched=watched,
            every_min=EVERY_MIN,
        )
