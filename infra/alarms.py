"""Alarms: all of a broker's, and the one composite that pages."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from .alarm import Alarm, Level, Outage
from .watch_settings import Alarming

SATURATION = (
    "The broker's database, or what stands in front of it, is saturated: requests wait or are "
    "refused, or the database is not to be reached and functions fail, and have for minutes. "
    "Which of its alarms rings says where. "
    'First: broker doctor "$DSN"'
)


class Alarms(Construct):
    """`saturation` is the composite; alarms may be added until the app is synthesized."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Alarming, alarms: Iterable[Alarm]
    ) -> None:
        super().__init__(scope, id)
        self.made: list[cloudwatch.Alarm] = []
        self._pages: list[cloudwatch.IAlarm] = []
        self._outage: dict[Outage, list[cloudwatch.IAlarm]] = {part: [] for part in Outage}
        page, notice = self._topics(settings)
        self._notice = notice
        self._waiting = page
        self.saturation: cloudwatch.CompositeAlarm | None = None
        self.add(alarms)

    def _topics(
        self, settings: Alarming
    ) -> tuple[cloudwatch.IAlarmAction | None, cloudwatch.IAlarmAction | None]:
        if settings.topic is None:
            return None, None
        page = sns.Topic.from_topic_arn(self, "Topic", settings.topic)
        notice = page
        if settings.notices is not None:
            notice = sns.Topic.from_topic_arn(self, "Notices", settings.notices)
        return actions.SnsAction(page), actions.SnsAction(notice)

    def add(self, alarms: Iterable[Alarm]) -> None:
        """Make more alarms; those that page become parts of the composite."""
        for alarm in alarms:
            made = alarm.make(self)
            self.made.append(made)
            if alarm.level is Level.PAGE:
                self._pages.append(made)
            if alarm.outage is not None:
                self._outage[alarm.outage].append(made)
            if alarm.level is Level.NOTICE and self._notice is not None:
                made.add_alarm_action(self._notice)
                made.add_ok_action(self._notice)
                if alarm.silence:
                    made.add_insufficient_data_action(self._notice)
        rules: list[cloudwatch.IAlarmRule] = [*self._pages]
        if all(self._outage.values()):
            each = [cloudwatch.AlarmRule.any_of(*parts) for parts in self._outage.values()]
            rules.append(cloudwatch.AlarmRule.all_of(*each))
        if rules:
            self._compose(cloudwatch.AlarmRule.any_of(*rules))

    def _compose(self, rule: cloudwatch.IAlarmRule) -> None:
        """Let the composite be of this rule; it is made with the first part."""
        if self.saturation is not None:
            resource = self.saturation.node.default_child
            assert isinstance(resource, cloudwatch.CfnCompositeAlarm)  # noqa: S101
            resource.alarm_rule = rule.render_alarm_rule()
            return
        self.saturation = cloudwatch.CompositeAlarm(
            self, "Saturation", alarm_rule=rule, alarm_description=SATURATION
        )
        if self._waiting is not None:
            self.saturation.add_alarm_action(self._waiting)
            self.saturation.add_ok_action(self._waiting)
