"""Exporting: under which name the figures go, and when. Pure."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from .directory import TaskError

NAMESPACE = "EXPORTER_NAMESPACE"
POOLER = "EXPORTER_POOLER"
PERIOD = "EXPORTER_PERIOD_S"
DEFAULT_NAMESPACE = "LambdaPgBroker"  # the broker's and the monitor's own
DEFAULT_PERIOD_S = 60.0
LOOKS = 12  # a period: every 5 s


@dataclass(frozen=True)
class Exporting:
    """What the environment says, checked."""

    namespace: str
    pooler: str
    task: str
    period_s: float

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Exporting:
        """Read it; TaskError names the variable that is missing or wrong.

        On Fargate the last part of the metadata's address starts with the task's id.
        """
        pooler = environ.get(POOLER, "")
        if not pooler:
            raise TaskError(f"{POOLER} is missing: give the name that metrics have the poolers by")
        metadata = environ.get("ECS_CONTAINER_METADATA_URI_V4", "")
        return cls(
            namespace=environ.get(NAMESPACE) or DEFAULT_NAMESPACE,
            pooler=pooler,
            task=metadata.rpartition("/")[2].partition("-")[0] or socket.gethostname(),
            period_s=_seconds(environ.get(PERIOD) or str(DEFAULT_PERIOD_S)),
        )

    def minute(self, now_s: float) -> int:
        """Return the number of the period.

        It ends in the middle of the clock's: each of CloudWatch's minutes then has one line of
        every task, even where one comes some seconds late, and a sum over tasks is what it says.
        """
        return math.floor(now_s / self.period_s - 0.5)

    def until_next_look(self, now_s: float) -> float:
        """Return the seconds until the next look."""
        every_s = self.period_s / LOOKS
        return every_s - now_s % every_s


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= DEFAULT_PERIOD_S * LOOKS:
        raise TaskError(f"{PERIOD} = {text!r}: give seconds, more than 0, as 60")
    return seconds
