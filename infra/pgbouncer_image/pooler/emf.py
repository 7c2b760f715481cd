"""EMF: figures as a line of JSON that CloudWatch Logs makes metrics of."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .minute import Figures


def line(
    namespace: str,
    dimensions: Mapping[str, str],
    figures: Figures,
    properties: Mapping[str, object],
    now_s: float,
) -> str:
    """Return the line. Properties are no metrics: they are there to be searched for."""
    about = {
        "Timestamp": int(now_s * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": namespace,
                "Dimensions": [list(dimensions)],
                "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in figures.items()],
            }
        ],
    }
    values = {name: value for name, (value, _) in figures.items()}
    return json.dumps({"_aws": about, **dimensions, **properties, **values})
