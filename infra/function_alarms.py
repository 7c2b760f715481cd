"""FunctionAlarms: what a connected function meets."""

from __future__ import annotations

from broker.plan.deployment import Flavour

from .alarm import Alarm, Level
from .signals import of_function, of_lambda


def function_alarms(name: str, function: str, flavour: Flavour) -> list[Alarm]:
    """Return one function's alarms; `name` is its own in the plan, `function` its real one."""
    found = [
        Alarm(
            f"{name}Refused",
            of_function(function, flavour.value, "TooManyConnections", "Sum"),
            0,
            f"{name} meets 53300 for minutes (one during a deploy is retried, and normal): the "
            "server, a role's limit or the pooler is full.",
            'broker doctor "$DSN"',
            Level.PAGE,
        ),
        Alarm(
            f"{name}Throttles",
            of_lambda(function, "Throttles", "Sum"),
            0,
            f"{name} is called more often at once than the plan's concurrency allows: that is what "
            "keeps the database from it.",
            "broker plan (is there room for more concurrency?)",
            Level.INFORMATION,
        ),
    ]
    if flavour is Flavour.DIRECT:
        found.append(
            Alarm(
                f"{name}Capped",
                of_function(function, flavour.value, "CapReached", "Sum"),
                0,
                f"{name} waits in vain for a lease of the fleet's cap, for minutes: every session "
                "that the plan allows is taken.",
                'broker doctor "$DSN"',
                Level.PAGE,
            )
        )
    return found
