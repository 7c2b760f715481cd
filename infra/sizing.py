"""Sizing: the plan's task as Fargate takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from broker.plan import BadDeployment, Plan

GIB = 2**30
MEMORY_GIB = {  # by vCPU: the least, the most, the step
    0.25: (0.5, 2, 0.5),
    0.5: (1, 4, 1),
    1: (2, 8, 1),
    2: (4, 16, 1),
    4: (8, 30, 1),
    8: (16, 60, 4),
    16: (32, 120, 8),
}
"""What Fargate has; 0.25 vCPU takes 0.5, 1 and 2 GiB."""
PERCENT = 100
UNIT = 1024  # CPU units of a vCPU, MiB of a GiB


@dataclass(frozen=True, slots=True)
class Sizing:
    """Tasks, their size, and how many may run while they are replaced."""

    tasks: int
    cpu: int
    memory_mib: int
    nofile: int
    min_healthy_percent: int
    max_healthy_percent: int


def sizing(plan: Plan) -> Sizing:
    """Return the sizing; BadDeployment where Fargate has no such task."""
    middle, file = plan.deployment.middle, plan.deployment.file
    cpu, memory = middle.task_vcpu, middle.task_memory_bytes / GIB
    if cpu not in MEMORY_GIB:
        known = ", ".join(f"{each:g}" for each in MEMORY_GIB)
        raise BadDeployment(f"{file}: broker.task_vcpu = {cpu:g}: Fargate has {known}")
    least, most, step = MEMORY_GIB[cpu]
    if not least <= memory <= most or memory % step or (cpu, memory) == (0.25, 1.5):
        raise BadDeployment(
            f'{file}: broker.task_memory = "{memory:g} GiB": with task_vcpu = {cpu:g} Fargate has '
            f"{least:g} to {most:g} GiB in steps of {step:g}"
        )
    most_percent = math.floor(middle.overlap * PERCENT)
    # Where no task may be added, one must go first; with one task that is all of them.
    room = math.floor(middle.tasks * middle.overlap) > middle.tasks
    least_percent = PERCENT if room else PERCENT * (middle.tasks - 1) // middle.tasks
    return Sizing(
        tasks=middle.tasks,
        cpu=int(cpu * UNIT),
        memory_mib=int(memory * UNIT),
        nofile=plan.whole("nofile"),
        min_healthy_percent=least_percent,
        max_healthy_percent=most_percent,
    )
