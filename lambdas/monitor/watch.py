"""The watch: one session of its own, kept between the looks so that it is there when all is full.

Environment: the broker's BROKER_ variables (BROKER_FLAVOUR=direct, a role with pg_monitor and
pg_use_reserved_connections), and SERVER, the name that metrics and alarms have the server under.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker import Broker, BrokerError, ConfigurationError
from broker.observe.access import classify
from broker.observe.diagnosis import diagnose
from broker.observe.emf import Line
from broker.observe.finding import Finding
from broker.observe.look import look
from broker.observe.refusal import refused
from broker.observe.snapshot import Snapshot

from . import figures

log = logging.getLogger("monitor")


@dataclass
class Watch:
    """Looks, and remembers the look before."""

    db: Broker
    server: str
    before: Snapshot | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Watch:
        """Return the watch that the environment describes; connects to nothing."""
        server = environ.get("SERVER", "").strip()
        if not server:
            raise ConfigurationError("SERVER is missing: the server's name in metrics and alarms")
        return cls(Broker.from_env(), server)

    def look(self) -> dict[str, Any]:
        """Look once, print the metrics, log the findings, and return how many there were.

        A server that lets nobody in is no failure of the monitor's: it says so, as a metric.
        """
        try:
            now = look(self.db)
        except BrokerError as error:
            access, finding = classify(error), refused(error, self.db.settings)
            self._print(figures.refused(self.server, access, finding))
            _log([finding])
            return {"refused": access.name.lower(), "findings": 1}
        findings = diagnose(now, self.before)
        self._print(figures.lines(self.server, now, self.before, findings))
        _log(findings)
        self.before = replace(now, backends=())  # their counters are all that is compared
        return {"sessions": len(now.sessions), "findings": len(findings)}

    def _print(self, lines: Iterable[Line]) -> None:
        for line in lines:
            print(line.text(self.db.settings.metrics_namespace), flush=True)  # noqa: T201


@functools.cache
def watch() -> Watch:
    """Return this environment's watch: its session is kept from one look to the next."""
    return Watch.from_env(os.environ)


def _log(findings: list[Finding]) -> None:
    """Log each finding without its evidence, which may quote statements."""
    for finding in findings:
        told = {"finding": finding.kind.value, "sentence": finding.sentence}
        log.warning(json.dumps({**told, "remedy": finding.remedy}))
