"""A duration on the command line: 30s, 5min, 1h."""

from __future__ import annotations

from typing import Any

import click

from broker.plan.quantity import SECONDS, read


class Duration(click.ParamType[float]):
    """A time with its unit, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse it."""
        if isinstance(value, float):
            return value
        try:
            seconds = read(str(value), SECONDS)
        except ValueError as error:
            self.fail(f"{value!r} {error}: give for example 30s, 5min or 1h", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} must be more than 0 s", param, ctx)
        return seconds
