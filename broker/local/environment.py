"""One execution environment: its process, its state, and the one request it may serve."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from broker.local.environment_info import EnvironmentInfo, EnvironmentState
from broker.local.function import Function
from broker.local.invocation import FunctionError, InvocationStatus, Request
from broker.local.logs import LogPipe


class OutOfTurn(Exception):
    """The runtime spoke of a request that it does not have."""


class Environment:
    """Serves one request at a time and is stopped in between, as on Lambda.

    Only the fleet's loop touches it. The runtime asks for the `next` request, and thereby ends
    the one before; only then is the process stopped, so that it never is inside an answer.
    """

    def __init__(
        self, environment_id: str, function: Function, *, freeze: bool, init_timeout_s: float
    ) -> None:
        self.id = environment_id
        self.function = function
        self.pid: int | None = None
        self.state = EnvironmentState.INIT
        self.served = 0
        self.held = False
        self.generation = 0
        self.retiring = False
        self._doomed = False
        self.idle_since = time.monotonic()
        self.logs: LogPipe | None = None
        self.on_idle: Callable[[Environment], None] = lambda _: None
        self.request: Request | None = None
        self._freeze_when_idle = freeze
        self._loop = asyncio.get_running_loop()
        self._assigned: asyncio.Future[None] | None = None
        self._started_at = time.monotonic()
        self._timer = self._loop.call_later(init_timeout_s, self._time_out, init_timeout_s, "Init")

    def __repr__(self) -> str:
        return f"<Environment {self.id} pid={self.pid} {self.state} served={self.served}>"

    def info(self) -> EnvironmentInfo:
        """Give what is to be seen of it now."""
        return EnvironmentInfo(
            self.id, self.pid, self.state, self.function.version, self.served, self.held
        )

    # What its runtime asks for.

    async def next(self) -> Request:
        """End the request before, wait for one, and give it once its time has begun to run."""
        self._timer.cancel()
        if self.state is EnvironmentState.INIT:
            self._initialised()
        else:
            self._end_request()
        if self.request is None:
            self._assigned = self._loop.create_future()
            self._rest()
            await self._assigned
        return self._hand_over()

    def answer(self, request_id: str, body: bytes, content_type: str) -> None:
        """Keep what the handler returned."""
        payload: Any = json.loads(body or b"null") if "json" in content_type else body
        self._expect(request_id).answer(InvocationStatus.OK, payload=payload)

    def fail(self, request_id: str, body: bytes) -> None:
        """Keep what the handler raised."""
        self._expect(request_id).answer(InvocationStatus.ERROR, error=FunctionError.parse(body))

    def fail_init(self, body: bytes) -> None:
        """Keep what importing the handler raised; the runtime then ends by itself."""
        if self.request is not None:
            self.request.answer(InvocationStatus.ERROR, error=FunctionError.parse(body))

    # What the fleet does to it.

    def assign(self, request: Request) -> None:
        """Have it serve this request next, thawed if need be."""
        self.request = request
        request.environment = self.id
        if self.state is EnvironmentState.INIT:
            request.cold = True
            return
        self.resume()
        self.state = EnvironmentState.BUSY
        if self._assigned is not None and not self._assigned.done():
            self._assigned.set_result(None)

    def started(self, pid: int) -> None:
        """Learn the process id, and end the process at once if that was wanted meanwhile."""
        self.pid = pid
        if self._doomed:
            self.kill()
        elif self.held:
            self.pause()

    def pause(self) -> None:
        """Stop the process and all that it started, whatever they are doing."""
        self._signal(signal.SIGSTOP)
        if self.state is EnvironmentState.IDLE:
            self.state = EnvironmentState.FROZEN

    def resume(self) -> None:
        """Let a stopped process go on; one that runs does not notice."""
        self._signal(signal.SIGCONT)
        if self.state is EnvironmentState.FROZEN:
            self.state = EnvironmentState.IDLE

    def kill(self) -> None:
        """Kill the process and all that it started; its end is told later."""
        self._doomed = True
        self._signal(signal.SIGKILL)

    def ended(self, status: int) -> Request | None:
        """Learn that the process is gone; give a request that it never got, to place again."""
        was_initialising = self.state is EnvironmentState.INIT
        self.state = EnvironmentState.DEAD
        self._timer.cancel()
        if self.logs is not None:
            self.logs.close()
        request, self.request = self.request, None
        if request is None:
            return None
        if request.handed_at is None and request.status is None and not was_initialising:
            return request
        request.answer(InvocationStatus.CRASHED, error=FunctionError.exited(request.id, status))
        request.finish()
        return None

    # How it gets from one state to the next.

    def _initialised(self) -> None:
        self.state = EnvironmentState.IDLE
        if self.request is not None:
            self.request.init_ms = (time.monotonic() - self._started_at) * 1000

    def _end_request(self) -> None:
        request = self.request
        if request is None or request.handed_at is None:  # the runtime only connected again
            return
        self.request = None
        if request.status is None:
            error = FunctionError("Runtime.NoResponse", "The runtime did not answer.")
            request.answer(InvocationStatus.ERROR, error=error)
        self.served += 1
        if self.logs is not None:
            self.logs.drain()
        self._loop.call_soon(request.finish)  # once this environment is at rest

    def _rest(self) -> None:
        self.state = EnvironmentState.IDLE
        self.idle_since = time.monotonic()
        if self.retiring:
            self.kill()
            return
        if self._freeze_when_idle or self.held:
            self.pause()
        self.on_idle(self)

    def _hand_over(self) -> Request:
        request = self._expect()
        self.state = EnvironmentState.BUSY
        request.handed_at = time.monotonic()
        timeout_s = self.function.timeout_s
        request.deadline_ms = int((time.time() + timeout_s) * 1000)
        self._timer = self._loop.call_later(timeout_s, self._time_out, timeout_s, "Task")
        return request

    def _time_out(self, timeout_s: float, what: str) -> None:
        if self.request is not None:
            error = FunctionError.timed_out(self.request.id, what, timeout_s)
            self.request.answer(InvocationStatus.TIMEOUT, error=error)
        self.kill()

    def _expect(self, request_id: str | None = None) -> Request:
        request = self.request
        if request is None or request_id not in (None, request.id):
            raise OutOfTurn(f"{self!r} does not serve {request_id}")
        return request

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is None or self.state is EnvironmentState.DEAD:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # its end is being told
            os.killpg(self.pid, number)
