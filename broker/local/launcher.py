"""The fleet's end of the zygote: starts environments and hears of their ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from broker.local.fleet_errors import ZygoteFailed
from broker.local.variables import base_variables
from broker.local.zygote import kill_group

DEFAULT_PRELOAD = (
    "broker",
    "concurrent.futures.thread",
    "http.client",
    "logging",
    "pg8000.native",
    "simplejson",
    "traceback",
)
"""What every environment imports anyway, and what reads no variable and opens nothing."""

CLOSE_TIMEOUT_S = 30.0  # killing hundreds of processes on a busy machine takes a second or two
KILLED = -9

How = Literal["fork", "exec"]
OnEnd = Callable[[str, int], None]
"""Gets an environment's id and exit code (negative: the signal that ended it)."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that the zygote needs to know to start one environment."""

    id: str
    how: How
    handler: str
    code: str
    variables: dict[str, str]


class Launcher:
    """One zygote, to be used on the loop that opened it, whose thread must outlive it.

    Linux ends the zygote when the thread that started it does.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._one_at_a_time = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = self._loop.create_future()
        self._alive: dict[str, int] = {}
        self.on_end: OnEnd = lambda _id, _status: None
        self._over = False
        self._loop.add_reader(control.fileno(), self._readable)

    @classmethod
    async def open(cls, preload: Sequence[str]) -> Launcher:
        """Start the zygote and wait until it has imported everything, or raise ZygoteFailed."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", str(Path(__file__).with_name("zygote.py"))),
                    *(str(theirs.fileno()), str(os.getpid())),
                    *preload,
                ],
                pass_fds=[theirs.fileno()],
                env=base_variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is the fleet's to handle, not its children's
            )
        launcher = cls(process, ours)
        try:
            told = await launcher._answered()
            if "failed" in told:
                raise ZygoteFailed(f"the zygote could not import {preload}:\n{told['failed']}")
        except BaseException:
            launcher.close()
            raise
        return launcher

    async def start(self, job: Job, log_fd: int) -> int:
        """Start one environment that logs to `log_fd`, which stays the caller's; give its pid."""
        async with self._one_at_a_time:
            if self._over:
                raise ZygoteFailed
            self._answer = self._loop.create_future()
            body = json.dumps(asdict(job)).encode()
            frame = len(body).to_bytes(4, "big") + body
            try:
                sent = socket.send_fds(self._control, [frame], [log_fd])
                await self._loop.sock_sendall(self._control, frame[sent:])
            except OSError as error:
                raise ZygoteFailed from error
            return int((await self._answered())["pid"])

    def close(self) -> None:
        """End the zygote, which kills every environment first; return when all are gone."""
        self._stop_reading()
        self._fail()
        self._control.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # on Linux the kernel then kills its children
            self._process.wait()

    async def _answered(self) -> dict[str, Any]:
        if self._answer is None:
            raise ZygoteFailed
        try:
            return await self._answer
        finally:
            self._answer = None

    def _readable(self) -> None:
        try:
            chunk = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._lost()
            return
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        if "ended" in message:
            self._ended(message["ended"], message["status"])
            return
        if "started" in message:
            self._alive[message["started"]] = message["pid"]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    def _ended(self, environment_id: str, status: int) -> None:
        self._alive.pop(environment_id, None)
        self.on_end(environment_id, status)

    def _lost(self) -> None:
        self._stop_reading()
        self._fail()
        for environment_id, pid in tuple(self._alive.items()):
            kill_group(pid)  # Linux has done so already
            self._ended(environment_id, KILLED)

    def _fail(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ZygoteFailed())

    def _stop_reading(self) -> None:
        if not self._over:
            self._over = True
            self._loop.remove_reader(self._control.fileno())
