"""The fleet's inside: places requests on environments. Everything here runs on one loop."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.local.deployment import Deployment
from broker.local.environment import Environment
from broker.local.environment_info import EnvironmentState
from broker.local.fleet_errors import (
    EnvironmentNotStarted,
    FleetClosed,
    FleetError,
    UnknownEnvironment,
    UnknownFunction,
)
from broker.local.function import Function
from broker.local.invocation import FunctionError, InvocationStatus, Request
from broker.local.launcher import How, Launcher
from broker.local.logs import LogBuffer, OnLog
from broker.local.runtime_api import RuntimeApi
from broker.local.scaling import ACCOUNT_CONCURRENCY, Action, Placement, place, quota
from broker.local.starter import Starter

KILL_TIMEOUT_S = 30.0  # a SIGKILL takes effect at once, but hundreds on a busy machine take long


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a fleet allows; `init_timeout_s` is above Lambda's 10 s, for hundreds share two CPUs."""

    account_concurrency: int = ACCOUNT_CONCURRENCY
    init_timeout_s: float = 60.0
    log_lines: int = 10_000


class Dispatcher:
    """Owns every deployment and environment of a fleet."""

    def __init__(
        self, launcher: Launcher, *, how: How, freeze: bool, limits: Limits, on_log: OnLog | None
    ) -> None:
        launcher.on_end = self._on_end
        self._launcher = launcher
        self._freeze = freeze
        self._limits = limits
        self._on_log = on_log
        self._api = RuntimeApi()
        self._starter = Starter(launcher, self._api, how)
        self._deployments: dict[str, Deployment] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._ended: dict[str, asyncio.Event] = {}
        self._closed = False

    async def close(self) -> None:
        """End everything; what is in flight fails with FleetClosed."""
        self._closed = True
        self._launcher.close()
        await asyncio.gather(*self._starting)
        for environment in self._all():
            if environment.request is not None:
                environment.request.future.set_exception(FleetClosed())
                environment.request = None
            self._bury(environment, status=0)
        await self._api.close_all()

    def deploy(self, function: Function) -> None:
        """Make this the current version of the function of its name."""
        known = self._deployments.get(function.name)
        if known is not None:
            known.replace(function)
            return
        logs = LogBuffer(function.name, max_lines=self._limits.log_lines, on_line=self._on_log)
        self._deployments[function.name] = Deployment(function, logs)

    def deployment(self, name: str) -> Deployment:
        """Give the deployment of that name, or raise UnknownFunction."""
        if name in self._deployments:
            return self._deployments[name]
        near = difflib.get_close_matches(name, self._deployments, n=1)
        hint = f"; {near[0]!r} is" if near else ""
        raise UnknownFunction(f"{name!r} is not deployed{hint}. Call fleet.deploy() first.")

    def submit(self, request: Request) -> None:
        """Place a request, or refuse it; its future always gets an answer."""
        if self._closed:
            request.future.set_exception(FleetClosed())
            return
        try:
            deployment = self.deployment(request.name)
        except UnknownFunction as error:
            request.future.set_exception(error)
            return
        loads = {name: each.load() for name, each in self._deployments.items()}
        available = quota(request.name, loads, self._limits.account_concurrency)
        placement = place(available, idle=deployment.idle_count())
        if placement.action is Action.THROTTLE:
            _throttle(request, placement)
            return
        deployment.track(request.future)
        self._run(deployment, request, placement.action)

    def find(self, environment_id: str) -> Environment:
        """Give the live environment of that id, or raise UnknownEnvironment."""
        for deployment in self._deployments.values():
            if environment_id in deployment.environments:
                return deployment.environments[environment_id]
        raise UnknownEnvironment(f"no environment {environment_id!r} is alive")

    def hold(self, environment: Environment) -> None:
        """Stop it, and give it no request until released."""
        environment.held = True
        self.deployment(environment.function.name).withdraw(environment)
        environment.pause()

    def release(self, environment: Environment) -> None:
        """Let it run, and take requests."""
        was_held, environment.held = environment.held, False
        environment.resume()
        if was_held and environment.state is EnvironmentState.IDLE:
            self.deployment(environment.function.name).offer(environment)

    async def end(self, environments: Iterable[Environment]) -> list[str]:
        """Kill these and wait until they are gone; give their ids."""
        ended = {one.id: self._ended.setdefault(one.id, asyncio.Event()) for one in environments}
        for one in ended:
            environment = self.find(one)
            self.deployment(environment.function.name).withdraw(environment)
            environment.kill()
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                for event in ended.values():
                    await event.wait()
        except TimeoutError as error:
            raise FleetError(f"killed {sorted(ended)}, but not all are gone") from error
        return list(ended)

    async def end_where(
        self, name: str | None, wanted: Callable[[Deployment, Environment], bool]
    ) -> list[str]:
        """End the wanted environments of one function, or of all."""
        deployments = self._deployments.values() if name is None else [self.deployment(name)]
        chosen = [
            environment
            for deployment in deployments
            for environment in deployment.environments.values()
            if wanted(deployment, environment)
        ]
        return await self.end(chosen)

    def _all(self) -> list[Environment]:
        return [one for each in self._deployments.values() for one in each.environments.values()]

    def _run(self, deployment: Deployment, request: Request, action: Action) -> None:
        if action is Action.REUSE:
            deployment.take().assign(request)
            return
        environment = Environment(
            deployment.next_id(),
            deployment.function,
            freeze=self._freeze,
            init_timeout_s=self._limits.init_timeout_s,
        )
        deployment.add(environment)
        environment.assign(request)
        task = asyncio.get_running_loop().create_task(self._start(deployment, environment))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, deployment: Deployment, environment: Environment) -> None:
        try:
            await self._starter.start(environment, deployment.logs)
        except EnvironmentNotStarted as error:
            request, environment.request = environment.request, None
            if request is not None:
                request.future.set_exception(FleetClosed() if self._closed else error)
            self._bury(environment, status=0)

    def _on_end(self, environment_id: str, status: int) -> None:
        self._bury(self.find(environment_id), status)

    def _bury(self, environment: Environment, status: int) -> None:
        deployment = self.deployment(environment.function.name)
        deployment.forget(environment)
        self._api.close(environment)
        orphan = environment.ended(status)
        if environment.id in self._ended:
            self._ended.pop(environment.id).set()
        if orphan is not None:
            action = Action.REUSE if deployment.idle_count() else Action.START
            self._run(deployment, orphan, action)


def _throttle(request: Request, placement: Placement) -> None:
    in_flight, limit = placement.quota.in_flight, placement.quota.limit
    numbers = f"{placement.reason}: {in_flight} in flight, {limit} allowed"
    error = FunctionError("TooManyRequestsException", f"Rate Exceeded. {numbers}")
    request.answer(InvocationStatus.THROTTLED, error=error)
    request.finish()
