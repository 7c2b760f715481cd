"""A local Lambda fleet: real runtimes, scaled, throttled, frozen and killed as Lambda does."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Literal, Self

from broker.local.deployment import Deployment
from broker.local.dispatcher import Dispatcher, Limits
from broker.local.environment import Environment
from broker.local.environment_info import EnvironmentInfo, EnvironmentState
from broker.local.fleet_errors import FleetClosed
from broker.local.function import Function
from broker.local.invocation import Invocation, InvocationStatus, Request
from broker.local.launcher import DEFAULT_PRELOAD, Launcher
from broker.local.logs import OnLog
from broker.local.loop_thread import LoopThread
from broker.local.open_files import allow_open_files

__all__ = [
    "EnvironmentInfo",
    "EnvironmentState",
    "Fleet",
    "Function",
    "Invocation",
    "InvocationStatus",
    "Limits",
]


class Fleet:
    """Runs functions in real `awslambdaric` processes, one request at a time in each.

    `start="zygote"` forks environments (4-5 MB, hundreds are fine) and `start="exec"` starts
    an interpreter for each (27 MB and more), which is what to measure cold starts with.
    `preload` names what the zygote imports before it forks; it may read no variable, open
    nothing and start no thread. `freeze=False` leaves environments running when idle.

    Every method may be called from any thread, except from `on_log`. Close it, or use it as a
    context manager: no process, port or file is left, nor if this process is killed.
    """

    def __init__(
        self,
        start: Literal["zygote", "exec"] = "zygote",
        freeze: bool = True,
        *,
        preload: Sequence[str] = DEFAULT_PRELOAD,
        limits: Limits | None = None,
        on_log: OnLog | None = None,
    ) -> None:
        allow_open_files()
        self._loop = LoopThread("fleet")
        self._closing = threading.Lock()

        async def assemble() -> Dispatcher:
            return Dispatcher(
                await Launcher.open(preload if start == "zygote" else ()),
                how="exec" if start == "exec" else "fork",
                freeze=freeze,
                limits=limits or Limits(),
                on_log=on_log,
            )

        try:
            self._dispatcher = self._loop.run(assemble())
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def deploy(self, function: Function) -> None:
        """Deploy a function, or a new version of it; the same once more changes nothing.

        A new version gets environments of its own. The older ones finish what they have and
        then stay, frozen and with their connections open, until `retire_old` or `shutdown_idle`.
        """
        self._loop.call(self._dispatcher.deploy, function)

    def invoke(self, name: str, event: Any = None) -> Invocation:
        """Invoke a function and wait for it: whatever becomes of it is in the Invocation.

        Raises UnknownFunction, FleetClosed or FleetError where there was no invocation at all.
        """
        return self.submit(name, event).result()

    def submit(self, name: str, event: Any = None) -> Future[Invocation]:
        """Invoke a function without waiting; the future cannot be cancelled."""
        request = Request(name, json.dumps(event).encode())
        request.future.set_running_or_notify_cancel()
        self._loop.post(self._dispatcher.submit, request)
        return request.future

    def environments(self, name: str) -> list[EnvironmentInfo]:
        """Describe the environments that are alive, of all versions, oldest first."""

        def describe() -> list[EnvironmentInfo]:
            deployment = self._dispatcher.deployment(name)
            return [one.info() for one in deployment.environments.values()]

        return self._loop.call(describe)

    def logs(self, name: str) -> list[str]:
        """Give the last lines that the function wrote, those of finished invocations for sure."""
        return self._loop.call(self._dispatcher.deployment, name).logs.lines()

    def freeze(self, environment_id: str) -> None:
        """Stop an environment, even in the middle of a request, and give it none until thawed.

        Its time-out goes on running. Its sockets stay open, and the kernel goes on answering
        keepalives: to a server this looks like a Lambda environment that is gone for good.
        """
        self._loop.call(lambda: self._dispatcher.hold(self._dispatcher.find(environment_id)))

    def thaw(self, environment_id: str) -> None:
        """Let an environment run, held or not; it is frozen again after its next request."""
        self._loop.call(lambda: self._dispatcher.release(self._dispatcher.find(environment_id)))

    def freeze_for(self, name: str, duration_s: float) -> list[str]:
        """Keep every idle environment of a function frozen that long, and give their ids.

        Requests that come meanwhile get environments of their own.
        """

        def hold() -> list[Environment]:
            idle = self._dispatcher.deployment(name).select(
                lambda one: one.state.at_rest and not one.held
            )
            for environment in idle:
                self._dispatcher.hold(environment)
            return idle

        held = self._loop.call(hold)
        try:
            time.sleep(duration_s)
        finally:
            for environment in held:
                self._loop.call(self._dispatcher.release, environment)
        return [environment.id for environment in held]

    def kill(self, environment_id: str) -> None:
        """Kill an environment, busy or frozen, and wait until it is gone."""

        async def kill() -> None:
            await self._dispatcher.end([self._dispatcher.find(environment_id)])

        self._loop.run(kill())

    def retire_old(self, name: str | None = None) -> list[str]:
        """End the environments of older versions; give the ids of those that are gone now.

        Busy ones finish what they have, and end then.
        """

        def is_old(deployment: Deployment, environment: Environment) -> bool:
            environment.retiring = not deployment.is_current(environment)
            return environment.retiring and environment.state.at_rest

        return self._loop.run(self._dispatcher.end_where(name, is_old))

    def shutdown_idle(self, name: str | None = None, *, idle_for_s: float = 0.0) -> list[str]:
        """Reap idle environments, as Lambda does at its pleasure; give their ids.

        They get SIGKILL, for without an extension Lambda sends no SIGTERM. Here the kernel then
        closes their sockets; on Lambda nothing tells the server, so `freeze` comes closer there.
        """
        before = time.monotonic() - idle_for_s

        def is_idle(_: Deployment, environment: Environment) -> bool:
            return environment.state.at_rest and environment.idle_since <= before

        return self._loop.run(self._dispatcher.end_where(name, is_idle))

    def close(self) -> None:
        """End every environment and wait until all are gone; what is in flight fails."""
        with self._closing:
            try:
                with contextlib.suppress(FleetClosed):  # it was closed before
                    self._loop.run(self._dispatcher.close())
            finally:
                self._loop.close()
