"""One function as deployed: its current version, and the environments of all its versions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from broker.local.environment import Environment
from broker.local.function import Function
from broker.local.invocation import Invocation
from broker.local.logs import LogBuffer
from broker.local.scaling import Load


class Deployment:
    """Knows which environments could take a request; only the fleet's loop touches it."""

    def __init__(self, function: Function, logs: LogBuffer) -> None:
        self.function = function
        self.logs = logs
        self.in_flight = 0
        self.environments: dict[str, Environment] = {}
        self._idle: list[Environment] = []  # of the current function, last used last
        self._count = 0
        self._generation = 1

    def load(self) -> Load:
        """Give its part in the account's concurrency."""
        return Load(self.in_flight, self.function.reserved_concurrency)

    def track(self, future: Future[Invocation]) -> None:
        """Count a request as in flight until its future is done."""
        self.in_flight += 1
        future.add_done_callback(self._untrack)

    def replace(self, function: Function) -> None:
        """Make this the current version: no older environment takes a request any more."""
        if function != self.function:
            self.function = function
            self._generation += 1
            self._idle.clear()

    def next_id(self) -> str:
        """Name an environment."""
        self._count += 1
        return f"{self.function.name}-{self._count}"

    def add(self, environment: Environment) -> None:
        """Count an environment as alive, and as idle whenever it says so."""
        self.environments[environment.id] = environment
        environment.generation = self._generation
        environment.on_idle = self.offer

    def offer(self, environment: Environment) -> None:
        """Let an environment that is at rest take requests, if it is current and not held."""
        self.withdraw(environment)
        if self.is_current(environment) and not environment.held:
            self._idle.append(environment)

    def idle_count(self) -> int:
        """Say how many environments could take a request at once."""
        return len(self._idle)

    def take(self) -> Environment:
        """Give the idle environment that was used last, as Lambda tends to."""
        return self._idle.pop()

    def withdraw(self, environment: Environment) -> None:
        """Let an environment take no request."""
        if environment in self._idle:
            self._idle.remove(environment)

    def forget(self, environment: Environment) -> None:
        """Drop an environment that is gone."""
        self.withdraw(environment)
        self.environments.pop(environment.id, None)

    def is_current(self, environment: Environment) -> bool:
        """Say whether it runs the current version."""
        return environment.generation == self._generation

    def select(self, wanted: Callable[[Environment], bool]) -> list[Environment]:
        """Give the environments that are wanted, oldest first."""
        return [one for one in self.environments.values() if wanted(one)]

    def _untrack(self, _: Future[Invocation]) -> None:
        self.in_flight -= 1
