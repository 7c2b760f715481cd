"""What an invocation did, as CloudWatch metrics: EMF lines, written by Powertools.

Dimensions: `function` (the function's name) and `flavour`. SessionsReplaced has `reason` too.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

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
        self._namespace = settings.metrics_namespace
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
        if tally.counts or tally.connect_ms or tally.checkout_wait_ms:
            metrics = self._new({})
            for what, count in tally.counts.items():
                metrics.add_metric(COUNTS[what], MetricUnit.Count, count)
            for name, timings in (
                (CONNECT_TIME, tally.connect_ms),
                (CHECKOUT_WAIT, tally.checkout_wait_ms),
            ):
                for value in timings:
                    metrics.add_metric(name, MetricUnit.Milliseconds, value)
            _print(metrics)
        for reason, count in tally.replaced.items():
            metrics = self._new({"reason": reason.value})
            metrics.add_metric(REPLACED, MetricUnit.Count, count)
            _print(metrics)

    def _new(self, extra: dict[str, str]) -> EphemeralMetrics:
        return EphemeralMetrics(
            namespace=self._namespace,
            dimension_set={**self._dimensions, **extra},
            service="",  # POWERTOOLS_SERVICE_NAME would add a dimension that no alarm asks for
        )


def _print(metrics: EphemeralMetrics) -> None:
    """Write one EMF line to standard output, where Lambda's log agent takes it from."""
    print(json.dumps(metrics.serialize_metric_set()), flush=True)  # noqa: T201
