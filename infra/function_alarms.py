"""FunctionAlarms: what a connected function meets."""

from __future__ import annotations

from broker.plan.deployment import Flavour

from .alarm import Alarm, Level, Outage
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
            "keeps the database from it. The plan says whether there is room for more.",
            "broker plan broker.toml",
            Level.INFORMATION,
        ),
        Alarm(
            f"{name}Fails",
            of_lambda(function, "Errors", "Sum"),
            0,
            f"Invocations of {name} fail, for whatever reason: only while the database is not to "
            "be reached (Unreachable) is that its outage, and pages.",
            _tail_of(function),
            Level.INFORMATION,
            outage=Outage.FUNCTION,
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


def _tail_of(function: str) -> str:
    """Return the command that shows a function's log, whichever group it has."""
    group = (
        f"aws lambda get-function-configuration --function-name {function} "
        "--query LoggingConfig.LogGroup --output text"
    )
    return f'aws logs tail "$({group})" --since 15m'
