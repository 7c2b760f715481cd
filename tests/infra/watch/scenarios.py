"""Scenarios: an hour of every metric, healthy but for what the scenario changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.infra.watch.evaluator import Key, Point

MINUTES = 60
BROKEN = range(20, 40)  # minutes of the hour

OURS, RDS, NLB, LAMBDA = "LambdaPgBroker", "AWS/RDS", "AWS/NetworkELB", "AWS/Lambda"
USED: Key = (OURS, "SessionsUsedPercent", "Maximum")
IDLE: Key = (OURS, "OldestIdleInTransactionSeconds", "Maximum")
REFUSED: Key = (OURS, "MonitorRefused", "Sum")
AWAY: Key = (OURS, "MonitorUnreachable", "Sum")
HEARTBEAT: Key = (OURS, "Heartbeat", "Sum")
MAX_WAIT: Key = (OURS, "MaxWaitMs", "Maximum")
LOGINS: Key = (OURS, "LoginsFailed", "Sum")
TOO_MANY: Key = (OURS, "TooManyConnections", "Sum")
CAPPED: Key = (OURS, "CapReached", "Sum")
TASKS: Key = (NLB, "HealthyHostCount", "Minimum")
OPENED: Key = (RDS, "DatabaseConnections", "Sum")
MOST: Key = (RDS, "MaxDatabaseConnectionsAllowed", "Sum")
PINNED: Key = (RDS, "DatabaseConnectionsCurrentlySessionPinned", "Sum")
BORROW: Key = (RDS, "DatabaseConnectionsBorrowLatency", "Average")
THROTTLES: Key = (LAMBDA, "Throttles", "Sum")
ERRORS: Key = (LAMBDA, "Errors", "Sum")
MONITORS_ERRORS: Key = (LAMBDA, "Errors of the monitor", "Sum")

MONITORS = (USED, IDLE, REFUSED, AWAY, HEARTBEAT, MONITORS_ERRORS)
QUIET: dict[Key, Point] = {
    USED: 30.0,
    IDLE: 0.1,
    REFUSED: 0.0,
    AWAY: 0.0,
    HEARTBEAT: 1.0,
    MONITORS_ERRORS: 0.0,
    MAX_WAIT: 4.0,
    LOGINS: 0.0,
    TASKS: 2.0,
    OPENED: 20.0,
    MOST: 100.0,
    PINNED: 0.0,
    BORROW: 300.0,
    THROTTLES: 0.0,
    ERRORS: 0.0,
    TOO_MANY: None,  # emitted where it was met alone
    CAPPED: None,
}
"""What a minute of ordinary traffic has."""
IDLE_STACK: dict[Key, Point] = {
    **dict.fromkeys(QUIET),  # no request, no metric
    USED: 2.0,
    IDLE: 0.0,
    REFUSED: 0.0,
    AWAY: 0.0,
    HEARTBEAT: 1.0,
    MONITORS_ERRORS: 0.0,
    MAX_WAIT: 0.0,
    LOGINS: 0.0,
}
"""No traffic at all: the load balancer and RDS Proxy may say nothing."""
Change = Callable[[int], Mapping[Key, Point]]


@dataclass(frozen=True)
class Scenario:
    """An hour: what holds in it, and what is different in a minute of it."""

    title: str
    base: Mapping[Key, Point] = field(default_factory=lambda: QUIET)
    change: Change = lambda _minute: {}

    def series(self) -> dict[Key, list[Point]]:
        minutes = [{**self.base, **self.change(minute)} for minute in range(MINUTES)]
        return {key: [minute[key] for minute in minutes] for key in self.base}


def during(changed: Mapping[Key, Point]) -> Change:
    """Return the change that holds in the broken minutes."""
    return lambda minute: changed if minute in BROKEN else {}


def at(changed: Mapping[int, Mapping[Key, Point]]) -> Change:
    return lambda minute: changed.get(minute, {})


def _leak(minute: int) -> Mapping[Key, Point]:
    """Sessions that nobody ends: two in a hundred more a minute, one idle in its transaction."""
    return {USED: min(97.0, 30.0 + 2 * max(0, minute - 10)), IDLE: 60.0 * (minute > 10)}


QUIET_DAY = Scenario("a quiet day")
IDLE_DAY = Scenario("an idle stack, no traffic", IDLE_STACK)
NEW_STACK = Scenario(
    "the first minutes of a deploy: the monitor looks in the third",
    IDLE_STACK,
    lambda minute: dict.fromkeys(MONITORS) if minute < 2 else {},
)
NEVER_WORKS = Scenario(
    "a new stack whose monitor fails from its first run on, in the third minute",
    IDLE_STACK,
    lambda minute: dict.fromkeys(MONITORS) | {MONITORS_ERRORS: 1.0 if minute >= 2 else None},
)
DEPLOY = Scenario(
    "a deploy: one 53300, a wait of 2 s, one minute with one task",
    change=at({30: {TOO_MANY: 1.0, CAPPED: 1.0, MAX_WAIT: 2_000.0, TASKS: 1.0, BORROW: 2e5}}),
)
OWN_ROLLOUT = Scenario(
    "a rollout of the monitor: its frozen predecessor keeps the session for 5 minutes",
    change=at({minute: {USED: None, IDLE: None, REFUSED: 1.0} for minute in range(20, 25)}),
)
LEAK = Scenario("a leak", change=_leak)
STORM = Scenario(
    "a full server: 53300 for 20 minutes, the monitor is kept out",
    change=during(
        {
            **dict.fromkeys((USED, IDLE)),
            **{REFUSED: 1.0, TOO_MANY: 40.0, CAPPED: 40.0, BORROW: 5e5, ERRORS: 40.0},
        }
    ),
)
NEARLY_FULL = Scenario("used share at 85 % for 20 minutes", change=during({USED: 85.0}))
NOBODY: dict[Key, Point] = {
    **dict.fromkeys((USED, IDLE, OPENED, MOST, PINNED, BORROW)),
    **{REFUSED: 1.0, AWAY: 1.0},
}
"""Nobody gets in at the database."""
WANTED: dict[Key, Point] = {MAX_WAIT: 9_000.0, LOGINS: 50.0, ERRORS: 50.0}
"""… and there is traffic that wants to."""
OUTAGE = Scenario(
    "an outage of the database: nobody gets in for 20 minutes", change=during(NOBODY | WANTED)
)
OUTAGE_OF_NO_CONCERN = Scenario(
    "an outage of the database while there is no traffic", IDLE_STACK, during(NOBODY)
)
FAILOVER = Scenario(
    "a failover: nobody gets in for 2 minutes",
    change=at(dict.fromkeys((20, 21), NOBODY | WANTED)),
)
FAULT = Scenario(
    "a fault of a function's own: its invocations fail for 20 minutes",
    change=during({ERRORS: 50.0}),
)
STOPPED = Scenario("the monitor stops for 20 minutes", change=during(dict.fromkeys(MONITORS)))
SATURATED = Scenario(
    "a saturated pooler or proxy: clients wait for 20 minutes",
    change=during({MAX_WAIT: 6_000.0, OPENED: 95.0, BORROW: 3e6}),
)
ONE_TASK = Scenario("one task is gone for 20 minutes", change=during({TASKS: 1.0}))
NO_TASKS = Scenario(
    "all tasks are gone: none healthy, then nothing is reported",
    change=lambda m: {TASKS: 0.0 if m < 25 else None} if m in BROKEN else {},
)
PINNING = Scenario("half of the proxy's sessions are pinned", change=during({PINNED: 50.0}))
ROTATION = Scenario("a secret that does not fit its role", change=during({LOGINS: 5.0}))
THROTTLED = Scenario("a burst above the plan's concurrency", change=during({THROTTLES: 30.0}))

ALL = (
    QUIET_DAY,
    IDLE_DAY,
    NEW_STACK,
    DEPLOY,
    OWN_ROLLOUT,
    FAILOVER,
    NEARLY_FULL,
    LEAK,
    STORM,
    SATURATED,
    OUTAGE,
    OUTAGE_OF_NO_CONCERN,
    FAULT,
    STOPPED,
    NEVER_WORKS,
    ONE_TASK,
    NO_TASKS,
    PINNING,
    ROTATION,
    THROTTLED,
)
HEALTHY = (QUIET_DAY, IDLE_DAY, NEW_STACK, DEPLOY, OWN_ROLLOUT, FAILOVER)
