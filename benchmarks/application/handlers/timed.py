"""How long a handler took, told with its answer."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

Handler = Callable[[dict[str, Any], object], Any]


def timed(handler: Handler) -> Handler:
    """Return the handler, which now says how long it took, its decorators included."""

    def invoke(event: dict[str, Any], context: object) -> dict[str, Any]:
        begun_ns = perf_counter_ns()
        answer = handler(event, context)
        took_ns = perf_counter_ns() - begun_ns
        return {"answer": answer, "took_us": took_ns / 1000}

    return invoke
