"""Looked: what the rules look at. A snapshot, the one before it, and the thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from broker.observe.application import grouped, read_name
from broker.observe.backend import Backend
from broker.observe.finding import Finding, Kind, identifier
from broker.observe.snapshot import Snapshot
from broker.observe.thresholds import Thresholds

GENERATIONS = range(2, 4)  # more than three are no deploy: they number instances


@dataclass(frozen=True)
class Looked:
    """`findings` grows as the rules run: a later one may leave to an earlier what that has said."""

    now: Snapshot
    before: Snapshot | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: Kind) -> bool:
        """Tell whether a rule before has found it."""
        return any(finding.kind is kind for finding in self.findings)

    @property
    def pressed(self) -> bool:
        """Whether places are short: more than the alarm's share is taken, or all ordinary ones."""
        return self.now.taken_share > self.thresholds.used_share or not self.now.room

    @cached_property
    def opened_per_s(self) -> float | None:
        """Sessions opened a second, those that have ended included."""
        return self.now.opened_per_s(self.before)

    @cached_property
    def unpooled(self) -> list[Backend]:
        """The sessions that are not PgBouncer's, as far as its console was asked."""
        pooled = self.now.pooler.server_pids if self.now.pooler else frozenset()
        return [b for b in self.now.others if b.pid not in pooled]

    @cached_property
    def unpooled_at_rest(self) -> list[Backend]:
        """Those of them that hold no transaction open for nobody: that is another finding."""
        return [b for b in self.unpooled if not b.idles_in_transaction]

    def generations(self, sessions: list[Backend]) -> dict[str, list[Backend]]:
        """Return one application's sessions by generation, where two or three really overlap."""
        named = [b for b in sessions if read_name(b.application).generation is not None]
        versions = grouped(named, lambda b: read_name(b.application).generation or "")
        overlap = len(versions) in GENERATIONS and all(len(held) > 1 for held in versions.values())
        return versions if overlap else {}

    def limit_and_idle_timeout(self, role: str, sessions: int) -> tuple[str, ...]:
        """Return what bounds a role that takes others' places."""
        name = identifier(role)
        limit = f"alter role {name} connection limit {max(1, sessions // 2)};"
        if self.now.server.version_number < IDLE_SESSION_TIMEOUT_SINCE:
            return (limit,)
        return (limit, f"alter role {name} set idle_session_timeout = '15min';")


IDLE_SESSION_TIMEOUT_SINCE = 140_000
