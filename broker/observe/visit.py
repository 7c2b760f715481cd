"""A visit: look at a server, and at the pooler in front of it, with what did not let us in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from broker import Broker, BrokerError, Settings
from broker.deadline import Clock
from broker.observe import console, look
from broker.observe.access import Access, classify
from broker.observe.diagnosis import blind_spots, diagnose, ranked
from broker.observe.finding import Finding
from broker.observe.pooler import Pooler
from broker.observe.refusal import refused
from broker.observe.snapshot import Snapshot

BETWEEN_S = 1.0  # two looks, to see how fast sessions come and go
HOME = "postgres"  # the database that each server has, unless somebody dropped it

Opened = Callable[[Settings], Broker]


@dataclass(frozen=True)
class Visit:
    """What was found; `now` is None where the server did not let us in."""

    findings: list[Finding]
    unseen: list[str]
    now: Snapshot | None = None


@dataclass(frozen=True)
class Visitor:
    """Where to look, and how. Opens one session on each, and closes it again."""

    server: Settings
    pooler: Settings | None
    memory_bytes: int | None
    clock: Clock

    def visit(self, before: Snapshot | None = None) -> Visit:
        """Look, and diagnose; without an earlier snapshot it looks twice."""
        findings: list[Finding] = []
        unseen: list[str] = []
        pooler = self._pooler(findings, unseen)
        try:
            before, now = self._server(self.server, before, pooler)
        except BrokerError as error:
            findings.append(refused(error, self.server, pooler))
            if classify(error) is not Access.DATABASE_FULL or self.server.database == HOME:
                return Visit(ranked(findings), unseen)
            try:
                elsewhere = replace(self.server, database=HOME)
                before, now = self._server(elsewhere, before, pooler)
            except BrokerError:
                return Visit(ranked(findings), unseen)
            findings.pop()  # the finding on the database's limit says it, with numbers
        if pooler is not None:
            now = replace(now, pooler=self._pooler(findings, unseen))
        now = look.with_memory(now, self.memory_bytes)
        findings += diagnose(now, before)
        return Visit(ranked(findings), unseen + blind_spots(now), now)

    def _server(
        self, settings: Settings, before: Snapshot | None, pooler: Pooler | None
    ) -> tuple[Snapshot, Snapshot]:
        with Broker(settings) as db:
            if before is None:
                before = replace(look.look(db), pooler=pooler)
                self.clock.sleep(BETWEEN_S)
            return before, look.look(db)

    def _pooler(self, findings: list[Finding], unseen: list[str]) -> Pooler | None:
        if self.pooler is None:
            return None
        try:
            with Broker(self.pooler) as db:
                return console.look(db)
        except console.NotTheConsole as error:
            unseen.append(f"the pooler: {error}")
        except BrokerError as error:
            findings.append(refused(error, self.pooler))
        return None
