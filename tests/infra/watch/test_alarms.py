"""Which alarms ring when: the template's own alarms, over an hour of each scenario."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra.conftest import BROKER, FLAVOURS, KINDS, ORIGINS, ROOT, Synthesized, toml
from tests.infra.watch import commands, scenarios
from tests.infra.watch.evaluator import State, alarms, first_ring, play
from tests.infra.watch.scenarios import BROKEN, MINUTES, Scenario

PAGE = (ROOT / "docs/monitor.md").read_text()
BEGIN, END = "<!-- alarms: computed -->", "<!-- end -->"
SATURATION = "Saturation"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:pages"
NOTICES = "arn:aws:sns:eu-west-1:123456789012:notices"
TOPICS = f'[deploy.alarms]\ntopic = "{TOPIC}"\nnotices = "{NOTICES}"\n'
INFORMATION = {"ordersThrottles", "ordersFails"}
OF_OUTAGE = {"Unreachable", "ordersFails"}  # parts of the composite that page together alone

Connected = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def connected(flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Connected:
    """Synthesize a stack with one function on its broker; once for each broker.toml."""
    from aws_cdk import App
    from aws_cdk import aws_lambda as lambda_

    from infra.app import build

    known: dict[str, dict[str, Any]] = {}

    def synthesize(
        flavour: str, origin: str = "new", kind: str = "instance", deploy: str = TOPICS
    ) -> dict[str, Any]:
        text = toml(flavour, origin, kind, broker=BROKER[flavour], deploy=deploy)
        if text not in known:
            folder = tmp_path_factory.mktemp("watched")
            (folder / "broker.toml").write_text(text)
            context = {
                **flags,
                "aws:cdk:bundling-stacks": [],
                "aws:cdk:enable-path-metadata": True,  # the alarms' names here
                "config": str(folder / "broker.toml"),
            }
            app = App(context=context, outdir=str(folder / "out"))
            stack = build(app, folder)
            fn = lambda_.Function(
                stack,
                "orders",
                runtime=lambda_.Runtime.PYTHON_3_14,
                handler="x.y",
                code=lambda_.Code.from_inline("x"),
            )
            from infra.acknowledge import acknowledge

            basic = "service-role/AWSLambdaBasicExecutionRole"
            rule = f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{basic}]"
            acknowledge(fn, rule, "What the CDK gives every function.")
            stack.broker.connect(fn)
            app.synth()
            known[text] = Synthesized(folder / "out", stack).template
        return known[text]

    return synthesize


def rung(template: dict[str, Any], scenario: Scenario) -> dict[str, int]:
    """Return the alarms that ring in the scenario, and from which of its minutes on."""
    metrics, _composites = alarms(template)
    found = {}
    for name, states in play(template, scenario.series(), MINUTES).items():
        silence = name in metrics and metrics[name].tells_of_silence
        minute = first_ring(states, tells_of_silence=silence)
        if minute is not None:
            found[name] = minute
    return found


def table(connected: Connected) -> str:
    """Return the documentation's table: scenario by flavour, who rings and when."""
    rows = ["| scenario | `direct` | `pgbouncer` | `rds-proxy` |", "|---|---|---|---|"]
    for scenario in scenarios.ALL:
        cells = []
        for flavour in FLAVOURS:
            found = rung(connected(flavour), scenario)
            told = [f"{_shown(name)} {minute}" for name, minute in sorted(found.items())]
            cells.append(", ".join(told) or "none")
        rows.append(f"| {scenario.title} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _shown(name: str) -> str:
    return f"**{name}**" if name == SATURATION else name


def test_the_table_in_the_documentation_is_what_the_alarms_do(connected: Connected) -> None:
    documented = PAGE.partition(BEGIN)[2].partition(END)[0].strip()
    computed = table(connected)
    assert documented == computed, f"docs/monitor.md, between the marks:\n{computed}"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("scenario", scenarios.HEALTHY, ids=lambda s: s.title)
def test_nothing_rings_in_a_healthy_stack(
    connected: Connected, flavour: str, scenario: Scenario
) -> None:
    assert rung(connected(flavour), scenario) == {}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_saturation_pages_and_single_faults_do_not(connected: Connected, flavour: str) -> None:
    template = connected(flavour)
    for scenario in (scenarios.STORM, scenarios.LEAK, scenarios.NEARLY_FULL, scenarios.OUTAGE):
        assert SATURATION in rung(template, scenario), scenario.title
    for scenario in (
        scenarios.STOPPED,
        scenarios.ONE_TASK,
        scenarios.PINNING,
        scenarios.ROTATION,
        scenarios.THROTTLED,
        scenarios.FAILOVER,
        scenarios.OUTAGE_OF_NO_CONCERN,
        scenarios.FAULT,
        scenarios.NEVER_WORKS,
    ):
        assert SATURATION not in rung(template, scenario), scenario.title


def test_a_saturated_middle_pages_within_three_minutes(connected: Connected) -> None:
    for flavour in ("pgbouncer", "rds-proxy"):
        assert rung(connected(flavour), scenarios.SATURATED)[SATURATION] <= BROKEN[0] + 2


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_monitor_that_stops_is_told_of_within_minutes(connected: Connected, flavour: str) -> None:
    assert rung(connected(flavour), scenarios.STOPPED).keys() == {"Heartbeat"}
    assert rung(connected(flavour), scenarios.STOPPED)["Heartbeat"] < BROKEN[0] + 8


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_alarm_rings_in_some_scenario_and_all_are_quiet_again_an_hour_later(
    connected: Connected, flavour: str
) -> None:
    template = connected(flavour)
    metrics, composites = alarms(template)
    heard = set().union(*(rung(template, scenario) for scenario in scenarios.ALL))
    assert heard == {*metrics, *composites}
    stays = (scenarios.LEAK, scenarios.NEVER_WORKS)
    for scenario in [each for each in scenarios.ALL if each not in stays]:
        ended = play(template, scenario.series(), MINUTES)
        assert not [name for name, states in ended.items() if states[-1] is State.ALARM]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_composite_goes_to_the_topic_and_the_rest_to_the_notices(
    connected: Connected, flavour: str
) -> None:
    template = connected(flavour)
    _metrics, composites = alarms(template)
    pages = composites[SATURATION].rule
    for name, properties in named(template).items():
        told = properties.get("AlarmActions", [])
        if name == SATURATION:
            assert told == [TOPIC]
        elif name in INFORMATION or (f'"{name}"' in pages and name not in OF_OUTAGE):
            assert told == []
        else:
            assert told == [NOTICES]
        silent = [NOTICES] if name == "Heartbeat" else []
        assert properties.get("InsufficientDataActions", []) == silent


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_a_topic_nobody_is_told(connected: Connected, flavour: str) -> None:
    for properties in named(connected(flavour, deploy="")).values():
        assert "AlarmActions" not in properties


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_outage_pages_within_minutes_whatever_is_in_between(
    connected: Connected, flavour: str
) -> None:
    found = rung(connected(flavour), scenarios.OUTAGE)
    assert found[SATURATION] <= BROKEN[0] + 2
    assert found["Unreachable"] <= BROKEN[0] + 2


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_alarm_says_what_it_means_and_is_documented(
    connected: Connected, flavour: str
) -> None:
    for name, properties in named(connected(flavour)).items():
        means, _, _ = shown(properties["AlarmDescription"]).partition("First: ")
        assert len(means) > 40, name
        assert f"| `{name.replace('orders', '*function*')}` |" in PAGE, name


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_alarms_first_command_runs_as_it_is_printed(
    connected: Connected, flavour: str
) -> None:
    """It is parsed by the program that it names, and what it names is in the template."""
    template = connected(flavour)
    for name, properties in named(template).items():
        description = properties["AlarmDescription"]
        for resource in referred(description):
            assert resource in template["Resources"], (name, resource)
        assert len(shown(description)) <= 1024, name
        _, _, command = shown(description).partition("First: ")
        for each in commands.parts(command):
            commands.check(each)


def shown(description: Any) -> str:
    """Return what CloudFormation makes of the text, with NAME for what it fills in."""
    if isinstance(description, str):
        return description
    separator, parts = description["Fn::Join"]
    return str(separator.join(part if isinstance(part, str) else "NAME" for part in parts))


def referred(description: Any) -> list[str]:
    """Return the resources that the text has names of."""
    if isinstance(description, str):
        return []
    return [
        part["Ref"] if "Ref" in part else part["Fn::GetAtt"][0]
        for part in description["Fn::Join"][1]
        if not isinstance(part, str)
    ]


def test_each_metric_is_one_that_somebody_emits() -> None:
    emitted = {key[1] for key in scenarios.QUIET if key[0] == scenarios.OURS}
    doctor = (ROOT / "docs/doctor.md").read_text()
    others = (ROOT / "docs/reference.md").read_text() + "".join(
        path.read_text() for path in (ROOT / "infra/pgbouncer_image").rglob("*.py")
    )
    for name in emitted:
        assert f"`{name}`" in doctor or f"`{name}`" in others or f'"{name}"' in others, name


def named(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the alarms' properties by name."""
    return {
        str(each["Metadata"]["aws:cdk:path"]).split("/")[-2]: each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    }


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
def test_monitor_and_reaper_look_past_the_pooler_one_at_a_time(
    connected: Connected, flavour: str, origin: str, kind: str
) -> None:
    resources = connected(flavour, origin, kind)["Resources"].values()
    watchers = [
        each["Properties"]
        for each in resources
        if each["Type"] == "AWS::Lambda::Function"
        and "SERVER" in each["Properties"].get("Environment", {}).get("Variables", {})
    ]
    assert len(watchers) == 2
    for watcher in watchers:
        variables = watcher["Environment"]["Variables"]
        assert variables["BROKER_FLAVOUR"] == "direct"
        assert variables["BROKER_USER"].startswith(("broker_monitor_", "broker_reaper_"))
        assert "BROKER_PASSWORD" not in variables
        assert watcher["ReservedConcurrentExecutions"] == 1
        if "ROLES" in variables:
            assert (variables["ROLES"], variables["END"]) == ("app", "0")
    schedules = {
        each["Properties"].get("ScheduleExpression")
        for each in resources
        if each["Type"] == "AWS::Events::Rule"
    }
    assert {"rate(1 minute)", "rate(5 minutes)"} <= schedules


def test_each_switch_takes_away_what_it_says(connected: Connected) -> None:
    off = "[deploy.monitor]\non = false\ndashboard = false\n[deploy.reaper]\non = false\n"
    template = connected("pgbouncer", deploy=off)
    kinds = [each["Type"] for each in template["Resources"].values()]
    assert "AWS::CloudWatch::Dashboard" not in kinds
    assert not [
        each
        for each in template["Resources"].values()
        if "SERVER" in each.get("Properties", {}).get("Environment", {}).get("Variables", {})
    ]
    assert {"Heartbeat", "Used"}.isdisjoint(named(template))
    silent = connected("pgbouncer", deploy="[deploy.alarms]\non = false\n")
    assert named(silent) == {}


def test_the_dashboard_reads_as_a_request_travels(connected: Connected) -> None:
    (dashboard,) = (
        each["Properties"]
        for each in connected("pgbouncer")["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Dashboard"
    )
    body = json.loads(
        "".join(
            part if isinstance(part, str) else "TOKEN"
            for part in dashboard["DashboardBody"]["Fn::Join"][1]
        )
    )
    headings = sorted(
        (widget["x"], widget["properties"]["markdown"])
        for widget in body["widgets"]
        if widget["type"] == "text"
    )
    assert [told.lstrip("# 0123456789.").split()[0] for _x, told in headings] == [
        "Functions",
        "Broker",
        "Database",
        "Findings",
    ]
    text = json.dumps(body)
    for name in ("SessionsUsed", "MaxWaitMs", "FindingsByKind", "SessionsReaped", "Throttles"):
        assert name in text
