"""What the local fleet refuses, and what it cannot do."""

from __future__ import annotations

from broker.errors import BrokerError, UsageError


class FleetError(BrokerError):
    """The local fleet cannot go on. Close it, look at the cause below, and start a new one."""


class ZygoteFailed(FleetError):
    """The process that forks environments did not start, or died. Start a new fleet."""


class FleetClosed(UsageError):
    """The fleet was closed, which ended what was in flight. Invoke inside its `with` block."""


class UnknownFunction(UsageError):
    """No function of that name is deployed. Call fleet.deploy(function) first."""


class UnknownEnvironment(UsageError):
    """No such environment is alive. fleet.environments(name) lists those that are."""


class EnvironmentNotStarted(FleetError):
    """This machine could not start one more environment. Lower the concurrency."""
