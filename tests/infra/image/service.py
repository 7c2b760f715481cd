"""A service of tasks behind a balancer, replaced as ECS does it at 100/200 percent healthy."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.infra.image.balancer import Balancer
from tests.infra.image.container import Container
from tests.wait import wait_until

STOP_TIMEOUT_S = 120.0  # Fargate's most; then SIGKILL
KILLED = -signal.SIGKILL


@dataclass
class Retired:
    """How a task ended: what it exited with, and the flows that it had when it was signalled."""

    code: int
    flows: int


@dataclass
class Service:
    """`deregistration_delay_s` is 30 s in AWS; a test may have it shorter."""

    balancer: Balancer
    start: Callable[[], Container]
    tasks: int
    deregistration_delay_s: float
    running: list[Container] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)

    def scale_up(self) -> None:
        """Start as many tasks as there should be, wait until they are healthy, register them."""
        new = [self.start() for _ in range(self.tasks)]
        for task in new:
            wait_until(task.is_healthy, "a new task to be healthy")
        for task in new:
            self.balancer.register(task.port)
        self.running += new

    def replace(self) -> None:
        """Replace all: the new ones first, then deregister, wait, signal, and kill who stays."""
        old, self.running = self.running, []
        self.scale_up()
        for task in old:
            self.balancer.deregister(task.port)
        time.sleep(self.deregistration_delay_s)
        flows = [self.balancer.flows(task.port) for task in old]
        for task in old:
            task.signal_stop()
        self.retired += [Retired(end(task), had) for task, had in zip(old, flows, strict=True)]


def end(task: Container) -> int:
    """Wait for the task's end; what it exited with, or KILLED where it had to be killed."""
    try:
        return task.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        task.close()
        return KILLED
