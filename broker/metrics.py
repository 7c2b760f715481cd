"""What an invocation did, as CloudWatch metrics: EMF lines, written by Powertools.

Dimensions: `function` (the function's name) and `flavour`. SessionsReplaced has `reason` too.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from broker.settings import Settings
from broker.stats import Tally

log = logging.getLogger("broker")

COUNTS = {
    "opened": "SessionsOpened",
    "reused": "SessionsReused",
    "connect_retries": "ConnectRetries",
    "too_many_connections": "TooManyConnections",
    "transaction_retries": "TransactionRetries",
    "commits_looked_up": "CommitsLookedUp",
    "outcomes_unknown": "OutcomesUnknown",
    "leaks": "Leaks",
    "lease_requests": "LeaseRequests",
    "lease_renewals_failed": "LeaseRenewalsFailed",
    "leases_lost": "LeasesLost",
    "leases_abandoned": "LeasesAbandoned",
    "cap_full": "CapFull",
    "cap_reached": "CapReached",
    "cap_unreachable": "CapUnreachable",
    "uncapped": "Uncapped",
}
REPLACED = "SessionsReplaced"
CONNECT_TIME = "ConnectTime"
CHECKOUT_WAIT = "CheckoutWait"


class Metrics:
    """Emits the tally of each invocation. Never raises: a metric must not fail a request."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        # One for all lines: making one takes longer than all that a line needs of it.
        self._emf = EphemeralMetrics(
            namespace=settings.metrics_namespace,
            service="",  # POWERTOOLS_SERVICE_NAME would add a dimension that no alarm asks for
        )
        self._dimensions = {
            "function": environ.get("AWS_LAMBDA_FUNCTION_NAME", settings.application_name),
            "flavour": settings.flavour.value,
        }

    def emit(self, tally: Tally) -> None:
        """Print the tally as EMF; nothing where nothing was counted."""
        try:
            self._emit(tally)
        except Exception:
            log.exception("the invocation's metrics were not emitted")

    def _emit(self, tally: Tally) -> None:
        metrics = {COUNTS[what]: _count(count) for what, count in tally.counts.items()}
        for name, timings in (
            (CONNECT_TIME, tally.connect_ms),
            (CHECKOUT_WAIT, tally.checkout_wait_ms),
        ):
            if timings:
                metrics[name] = {"Unit": MetricUnit.Milliseconds.value, "Value": timings}
        if metrics:
            self._print(metrics, self._dimensions)
        for reason, count in tally.replaced.items():
            self._print({REPLACED: _count(count)}, {**self._dimensions, "reason": reason.value})

    def _print(self, metrics: dict[str, Any], dimensions: dict[str, str]) -> None:
        """Write one EMF line to standard output, where Lambda's log agent takes it from."""
        line = self._emf.serialize_metric_set(metrics, dimensions)
        print(json.dumps(line), flush=True)  # noqa: T201


def _count(count: int) -> dict[str, Any]:
    return {"Unit": MetricUnit.Count.value, "Value": [float(count)]}
