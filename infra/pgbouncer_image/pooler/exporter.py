"""The exporter: looks at each process every few seconds, and writes a line of EMF a minute.

It runs in a container of its own beside the poolers', with their sockets and logs and none of their
secrets, and writes nothing anywhere. A process that does not answer in time is left out of the
look; if it is started again, the next look finds it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import fields

from . import emf, look
from .console import NoAnswer, connected
from .directory import Directory, TaskError
from .exporting import Exporting
from .logins import FailedLogins
from .minute import COUNT, Minute

BAD_START = 2
LIMIT_S = 1.0  # for a process' answers
STOPS = {signal.SIGINT, signal.SIGTERM}


def main() -> int:
    """Export until SIGINT or SIGTERM, then 0; 2 on bad input."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the first process has no default for them
    try:
        exporting = Exporting.from_env(os.environ)
    except TaskError as error:
        say(str(error))
        return BAD_START
    exporter = Exporter(Directory.from_env(os.environ), exporting)
    minute = exporting.minute(time.time())
    while signal.sigtimedwait(STOPS, exporting.until_next_look(time.time())) is None:
        exporter.look()
        now_s = time.time()
        if exporting.minute(now_s) != minute:
            minute = exporting.minute(now_s)
            print(exporter.end_minute(now_s), end="", flush=True)
    return 0


class Exporter:
    """What is known of the task's processes since the last line."""

    def __init__(self, directory: Directory, exporting: Exporting) -> None:
        self._directory = directory
        self._exporting = exporting
        self._minute = Minute()
        self._logins: dict[int, FailedLogins] = {}
        self._failed = 0
        self._problems: Mapping[int, str] = {}

    def look(self) -> None:
        """Look at every process; say what is wrong with one once, not at each look."""
        looks: dict[int, look.Look] = {}
        problems: dict[int, str] = {}
        for process in self._directory.processes():
            self._failed += self._failed_logins(process)
            try:
                looks[process] = see(self._directory, process)
            except (NoAnswer, FileNotFoundError) as error:
                problems[process] = str(error)
            except KeyError as column:
                problems[process] = f"shows no column {column}: another version of PgBouncer?"
        self._minute.add(looks)
        for process, problem in problems.items():
            if self._problems.get(process) != problem:
                say(f"process {process} {problem}")
        self._problems = problems

    def end_minute(self, now_s: float) -> str:
        """Return the minute's line; an empty text where no process has answered."""
        figures, failed = self._minute.end(), self._failed
        self._failed = 0
        if not figures:
            return ""
        figures["LoginsFailed"] = (failed, COUNT)
        told = self._exporting
        task = {"task": told.task, "unanswered": len(self._problems)}
        properties = {**task, **self._minute.servers}
        return emf.line(told.namespace, {"pooler": told.pooler}, figures, properties, now_s) + "\n"

    def _failed_logins(self, process: int) -> int:
        if process not in self._logins:
            self._logins[process] = FailedLogins(self._directory.log(process))
        return self._logins[process].count()


def see(directory: Directory, process: int) -> look.Look:
    """Ask a process; NoAnswer, FileNotFoundError or KeyError where it cannot be seen."""
    with connected(directory.socket(process), time.monotonic() + LIMIT_S) as console:
        rows = {what.name: console.ask(f"SHOW {what.name}") for what in fields(look.Shown)}
        return look.read(look.Shown(**rows), time.time())


def say(text: str) -> None:
    """Write a line to the log."""
    print(f"pgbouncer-exporter: {text}", file=sys.stderr, flush=True)
