"""ServerAlarms: what the monitor sees of the database, and whether it looks at all."""

from __future__ import annotations

import math

from broker.observe.thresholds import Thresholds
from broker.plan import Plan
from broker.plan.sessions import ALARM_SHARE

from .alarm import Alarm, Compare, Level, Missing, Outage, tail
from .signals import PERIOD_S, of_lambda, of_server

DOCTOR = 'broker doctor "$DSN"'
SPARE_MIN = 2  # beyond what a rollout of the monitor itself takes


def server_alarms(server: str, plan: Plan) -> list[Alarm]:
    """Return the alarms on what the monitor says of the server."""
    idle_s = Thresholds().idle_in_transaction_s
    refused_min = math.ceil(plan.whole("idle_session_timeout") / PERIOD_S) + SPARE_MIN
    return [
        Alarm(
            "Used",
            of_server(server, "SessionsUsedPercent", "Maximum"),
            100 * ALARM_SHARE,
            f"More than {ALARM_SHARE:.0%} of max_connections ({plan.whole('max_connections')} in "
            f"the plan, of which {plan.whole('alarm_sessions')} are that share) is in use: soon "
            "somebody gets 53300.",
            DOCTOR,
            Level.PAGE,
            # A full server may keep the monitor out as well: what was full stays so till it looks.
            missing=Missing.IGNORE,
        ),
        Alarm(
            "IdleInTransaction",
            of_server(server, "OldestIdleInTransactionSeconds", "Maximum"),
            idle_s,
            f"Again and again a session idles in a transaction for more than {idle_s:g} s: it "
            "holds a place, its locks, and vacuum back, and nobody works.",
            f"{DOCTOR} --fix-idle",
            Level.NOTICE,
        ),
        Alarm(
            "Refused",
            of_server(server, "MonitorRefused", "Sum"),
            0,
            f"The monitor was refused for {refused_min} minutes, longer than a rollout of its own "
            "takes: nobody sees the database. MonitorRefusedByReason says why.",
            DOCTOR,
            Level.NOTICE,
            points=refused_min,
            periods=refused_min,
        ),
        Alarm(
            "Unreachable",
            of_server(server, "MonitorUnreachable", "Sum"),
            0,
            "The monitor does not reach the server: nobody listens, no answer comes, it starts or "
            "fails over. With a function that fails meanwhile it pages.",
            DOCTOR,
            Level.NOTICE,
            outage=Outage.SERVER,
        ),
    ]


def monitor_alarms(server: str, function: str, log_group: str) -> list[Alarm]:
    """Return the alarms on the monitor itself: that it looks, and that it works.

    A stack that is new has no heartbeat yet, and missing data is no fault of its: only a heartbeat
    that was there and is missing is told of. One that never comes is a function that fails.
    """
    return [
        Alarm(
            "Heartbeat",
            of_server(server, "Heartbeat", "Sum"),
            1,
            "The monitor has not looked for 5 minutes, and has before: the other alarms on the "
            "database are blind. This alarm has no data then.",
            tail(log_group),
            Level.NOTICE,
            compare=Compare.LESS_THAN_THRESHOLD,
            missing=Missing.MISSING,
            points=5,
            periods=5,
            silence=True,
        ),
        Alarm(
            "MonitorFails",
            of_lambda(function, "Errors", "Sum"),
            0,
            "The monitor fails or runs out of time each minute: the other alarms on the database "
            "are blind.",
            tail(log_group),
            Level.NOTICE,
            points=5,
            periods=5,
        ),
    ]
