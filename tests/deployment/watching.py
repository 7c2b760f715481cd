"""The monitor, the reaper and the alarms of a deployed stack: they are there, and they work."""

from __future__ import annotations

import json

from broker.plan.deployment import Flavour
from tests.deployment.site import Site
from tests.infra.watch.evaluator import PERIOD_S

TOPIC = "arn:aws:sns:us-east-1:123456789012:pages"
OF_FLAVOUR = {
    Flavour.DIRECT: {"ordersCapped", "reportsCapped"},
    Flavour.PGBOUNCER: {"PoolerWait", "PoolerTasks", "PoolerLogins"},
    Flavour.RDS_PROXY: {"ProxyPool", "ProxyBorrow", "ProxyPinned"},
}
OF_SERVER = {"Used", "IdleInTransaction", "Refused", "Unreachable", "Heartbeat", "MonitorFails"}
OF_ALL = OF_SERVER | {
    f"{function}{what}"
    for function in ("orders", "reports")
    for what in ("Refused", "Fails", "Throttles")
}


def check(site: Site) -> None:
    """Let both watchers work, and read back what watches them."""
    watchers = work(site)
    for name, function in watchers.items():
        limit = site.emulator.client("lambda").get_function_concurrency(FunctionName=function)
        assert limit["ReservedConcurrentExecutions"] == 1, name
        assert site.role(role_of(site, name))["limit"] == 1
    alarms(site)
    schedules(site, watchers)
    (dashboard,) = site.stack.of("CloudWatch::Dashboard")
    found = site.emulator.client("cloudwatch").get_dashboard(DashboardName=dashboard)
    assert site.stack.name in found["DashboardBody"]
    assert len(json.loads(found["DashboardBody"])["widgets"]) > 10


def work(site: Site) -> dict[str, str]:
    """Invoke both watchers against the real server; return their functions' names."""
    watchers = {name: _named(site, name) for name in ("Monitor", "Reaper")}
    looked = site.stack.call(watchers["Monitor"])
    assert looked["findings"] == 0, looked
    assert looked["sessions"] >= 1
    assert site.stack.call(watchers["Reaper"]) == {}
    return watchers


def alarms(site: Site) -> None:
    """Find each alarm with its missing data's treatment, and the composite of those that page."""
    cloudwatch = site.emulator.client("cloudwatch")
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    read = list(pages)
    ids = site.stack.resources()
    made = {
        physical: logical
        for logical, (kind, physical) in ids.items()
        if kind == "AWS::CloudWatch::Alarm"
    }
    there = [each for page in read for each in page["MetricAlarms"] if each["AlarmName"] in made]
    expected = OF_ALL | OF_FLAVOUR[site.flavour]
    assert len(there) == len(expected)
    for name in expected:
        assert any(f"Alarms{name}" in logical for logical in made.values()), name
    for alarm in there:
        if "MetricName" in alarm:
            assert alarm["Period"] == PERIOD_S
        assert "First: " in alarm["AlarmDescription"]
    (composite,) = [
        each
        for page in read
        for each in page["CompositeAlarms"]
        if each["AlarmName"] in site.stack.of("CloudWatch::CompositeAlarm")
    ]
    assert composite["AlarmActions"] == [TOPIC]
    used = next(each for each in there if "Used" in made[each["AlarmName"]])
    assert used["AlarmArn"] in composite["AlarmRule"]


def schedules(site: Site, watchers: dict[str, str]) -> None:
    """Find who calls the watchers how often, without a retry."""
    events = site.emulator.client("events")
    found = {}
    for rule in events.list_rules()["Rules"]:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            for name, function in watchers.items():
                if target["Arn"].endswith(f":{function}"):
                    found[name] = rule["ScheduleExpression"]
                    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert found == {"Monitor": "rate(1 minute)", "Reaper": "rate(5 minutes)"}


def role_of(site: Site, watcher: str) -> str:
    """Return the role that the watcher logs in as: its own stack's, and nobody else's."""
    functions = site.emulator.client("lambda")
    found = functions.get_function_configuration(FunctionName=_named(site, watcher))
    role = str(found["Environment"]["Variables"]["BROKER_USER"])
    assert role.startswith(f"broker_{watcher.lower()}_{site.stack.name.replace('-', '_')}_")
    return role


def _named(site: Site, watcher: str) -> str:
    """Return the function's name, by its construct's."""
    return site.stack.named("Lambda::Function", f"Watch{watcher}Function")
