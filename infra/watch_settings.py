"""WatchSettings: [deploy.monitor], [deploy.reaper] and [deploy.alarms]: who watches, and whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from broker.plan.reading import Section

MONITOR = ("on", "dashboard", "role")
REAPER = ("on", "end", "idle", "at_most", "every", "applications", "excluded", "role")
ALARMS = ("on", "topic", "notices")
WATCH = {"monitor": MONITOR, "reaper": REAPER, "alarms": ALARMS}

IDLE_S = 300  # the reference: idle in transaction for over 5 minutes
LEAST_IDLE_S = 60  # less is somebody who still comes back
AT_MOST = 10  # a run; a wrong policy harms few
MOST_AT_ONCE = 100
EVERY_S = 300
EVERYBODY = "*"
TOPIC_ARN = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?")
ROLE = re.compile(r"(?!pg_|rds|(postgres|public|none)$)[a-z_][a-z0-9_]{0,62}")
NO_BLANK = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Reaping:
    """The reaper's policy. It ends nothing, and only says what it would end, unless `end`.

    Sessions must be one of the plan's users', and of one of these applications (`*` and `?` match).
    """

    end: bool = False
    idle_s: int = IDLE_S
    at_most: int = AT_MOST
    every_min: int = EVERY_S // 60
    applications: tuple[str, ...] = (EVERYBODY,)
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarming:
    """Which SNS topics are told: `topic` of saturation, `notices` of the rest (None: `topic`)."""

    topic: str | None = None
    notices: str | None = None


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What watches; None is switched off.

    The roles are those of their names on the server, whether they are on or not; None is a name
    of the stack's own, so that brokers on one server share none.
    """

    monitor: bool = True
    dashboard: bool = True
    reaper: Reaping | None = field(default_factory=Reaping)
    alarms: Alarming | None = field(default_factory=Alarming)
    monitor_role: str | None = None
    reaper_role: str | None = None


def read_watch(deploy: Section) -> WatchSettings:
    """Return what is switched on and how; BadDeployment names what cannot be."""
    monitor, reaper = deploy.table("monitor", MONITOR), deploy.table("reaper", REAPER)
    return WatchSettings(
        monitor=monitor.flag("on", True),
        dashboard=monitor.flag("dashboard", True),
        reaper=_reaper(reaper),
        alarms=_alarms(deploy.table("alarms", ALARMS)),
        monitor_role=_role(monitor, "orders_monitor"),
        reaper_role=_role(reaper, "orders_reaper"),
    )


def _role(section: Section, example: str) -> str | None:
    if "role" not in section:
        return None
    name = section.text("role", example=example)
    if not ROLE.fullmatch(name):
        raise section.wrong(
            "role",
            "is a role's name: at most 63 of a-z, 0-9 and _, and none of the server's own, for "
            f'example role = "{example}"',
        )
    return name


def _reaper(section: Section) -> Reaping | None:
    idle_s = section.seconds("idle", IDLE_S, example="5 min")
    if idle_s < LEAST_IDLE_S:
        raise section.wrong("idle", 'must be a minute at least, for example idle = "5 min"')
    every_s = section.seconds("every", EVERY_S, example="5 min")
    if every_s < 60 or every_s % 60:
        raise section.wrong("every", 'must be whole minutes, for example every = "5 min"')
    policy = Reaping(
        end=section.flag("end", False),
        idle_s=int(idle_s),
        at_most=section.whole("at_most", AT_MOST, most=MOST_AT_ONCE),
        every_min=int(every_s) // 60,
        applications=_names(section, "applications", (EVERYBODY,), "orders:*"),
        excluded=_names(section, "excluded", (), "nightly-export"),
    )
    return policy if section.flag("on", True) else None


def _names(section: Section, key: str, default: tuple[str, ...], example: str) -> tuple[str, ...]:
    if key not in section:
        return default
    names = section.texts(key, default, example=example)
    if not all(NO_BLANK.fullmatch(name) for name in names):
        raise section.wrong(
            key, f'must be names without blanks (? matches one), for example ["{example}"]'
        )
    return tuple(names)


def _alarms(section: Section) -> Alarming | None:
    topics = {}
    for key in ("topic", "notices"):
        if key in section:
            topics[key] = section.text(key, example="arn:aws:sns:eu-west-1:123456789012:pages")
            if not TOPIC_ARN.fullmatch(topics[key]):
                raise section.wrong(key, "must be the ARN of an SNS topic")
    if "notices" in topics and "topic" not in topics:
        raise section.wrong("notices", "needs topic, which is told of saturation")
    return Alarming(**topics) if section.flag("on", True) else None
