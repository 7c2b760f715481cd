"""Alarm: what one alarm watches, what it means, and the first command to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

Missing = cloudwatch.TreatMissingData
Compare = cloudwatch.ComparisonOperator
POINTS, PERIODS = 3, 5  # the reference: 3 of 5 minutes


class Level(Enum):
    """Who hears of it."""

    PAGE = "page"
    """Somebody, now: as a part of the composite."""
    NOTICE = "notice"
    """Somebody, today: the notices' topic."""
    INFORMATION = "information"
    """Nobody: it is on the dashboard."""


class Outage(Enum):
    """What an outage is made of: one of each at once pages, whatever else they tell."""

    SERVER = "the server is not to be reached"
    FUNCTION = "a function fails"


@dataclass(frozen=True)
class Alarm:
    """One alarm; `points` of the last `periods` minutes must be beyond the threshold.

    `first` is a command as a shell takes it, and nothing else. `silence` is told of as well: that
    the metric was there, and is no more.
    """

    name: str
    metric: cloudwatch.IMetric
    threshold: float
    means: str
    first: str
    level: Level
    compare: Compare = Compare.GREATER_THAN_THRESHOLD
    missing: Missing = Missing.NOT_BREACHING
    points: int = POINTS
    periods: int = PERIODS
    outage: Outage | None = None
    silence: bool = False

    def make(self, scope: Construct) -> cloudwatch.Alarm:
        """Make it in CloudWatch, without any action yet."""
        return cloudwatch.Alarm(
            scope,
            self.name,
            metric=self.metric,
            threshold=self.threshold,
            comparison_operator=self.compare,
            datapoints_to_alarm=self.points,
            evaluation_periods=self.periods,
            treat_missing_data=self.missing,
            alarm_description=f"{self.means} First: {self.first}",
        )


def tail(log_group: str) -> str:
    """Return the command that shows what a log group was told in the last quarter of an hour."""
    return f"aws logs tail {log_group} --since 15m"
