"""The container's health check: whether the console of every process answers.

A process that is stopped, stuck or gone does not. The database is left out on purpose: while it is
down or failing over, a check that needed it would have ECS kill every task, and with them the
clients that wait for it to come back, and nothing would be better for it.
"""

from __future__ import annotations

import os
import sys
import time

from .console import NoAnswer, tell
from .directory import Directory, number

LIMIT_S = 3.0  # for all of them; the image's HEALTHCHECK and ECS allow 5 s with Python's start


def main() -> int:
    """Say what is wrong, in one line; 0 when nothing is."""
    problem = find_problem(Directory.from_env(os.environ), time.monotonic() + LIMIT_S)
    if problem:
        print(f"pgbouncer-health: {problem}", file=sys.stderr)
    return int(problem is not None)


def find_problem(directory: Directory, until_s: float) -> str | None:
    """Return what is wrong with the first process that is not well."""
    inis = directory.inis()
    if not inis:
        return f"{directory.path} has no pgbouncer.ini: the task has not started"
    for process in map(number, inis):
        try:
            tell(directory.socket(process), "SHOW VERSION", until_s)
        except (NoAnswer, FileNotFoundError) as error:
            return f"process {process} {error}"
    return None
