"""EMF as CloudWatch's specification has it (Embedded metric format specification, its schema)."""

from __future__ import annotations

import json
from typing import Any

UNITS = frozenset(
    [
        "Seconds",
        "Microseconds",
        "Milliseconds",
        "Bytes",
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Bits",
        "Kilobits",
        "Megabits",
        "Gigabits",
        "Terabits",
        "Percent",
        "Count",
        "None",
    ]
)


def read(line: str) -> dict[str, Any]:
    """Return the document, or fail where it breaks the specification."""
    document: dict[str, Any] = json.loads(line)
    aws = document["_aws"]
    assert isinstance(aws["Timestamp"], int)
    assert aws["Timestamp"] > 10**12, "milliseconds"
    assert aws["CloudWatchMetrics"]
    for directive in aws["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        for names in directive["Dimensions"]:
            assert len(names) <= 30
            for name in names:
                assert isinstance(document[name], str)
                assert 1 <= len(document[name]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric["Unit"] in UNITS
            assert metric.get("StorageResolution", 60) in (1, 60)
            value = document[metric["Name"]]
            numbers = value if isinstance(value, list) else [value]
            assert len(numbers) <= 100
            assert all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    return document


def figures(lines: list[str], namespace: str) -> dict[tuple[str, ...], dict[str, float]]:
    """Return the values by dimensions (name=value, sorted) and metric; each line is checked."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for line in lines:
        document = read(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            if directive["Namespace"] != namespace:
                continue
            [names] = directive["Dimensions"]
            key = tuple(sorted(f"{name}={document[name]}" for name in names))
            for metric in directive["Metrics"]:
                value = document[metric["Name"]]
                one = value[0] if isinstance(value, list) else value
                assert metric["Name"] not in found.get(key, {}), "each metric once"
                found.setdefault(key, {})[metric["Name"]] = one
    return found
