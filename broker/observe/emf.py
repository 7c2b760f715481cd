"""EMF: figures as CloudWatch metrics, a line of JSON for each set of dimensions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

Figures = Mapping[str, tuple[float, MetricUnit]]


@dataclass(frozen=True, slots=True)
class Line:
    """Metrics that share their dimensions: at most 100, as EMF has it."""

    dimensions: Mapping[str, str]
    figures: Figures

    def text(self, namespace: str) -> str:
        """Return the line that Lambda's log agent makes metrics of."""
        metrics = EphemeralMetrics(
            namespace=namespace,
            dimension_set=dict(self.dimensions),
            service="",  # POWERTOOLS_SERVICE_NAME would add a dimension that no alarm asks for
        )
        for name, (value, unit) in self.figures.items():
            metrics.add_metric(name, unit, value)
        return json.dumps(metrics.serialize_metric_set())
