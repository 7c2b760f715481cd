"""The processes of a task: started together, told to drain together, ended together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

STOPS = {signal.SIGINT, signal.SIGTERM}
WATCHED = {*STOPS, signal.SIGHUP, signal.SIGCHLD}
TEND_S = 10.0


def say(text: str) -> None:
    """Write a line to the log."""
    print(f"pgbouncer-task: {text}", file=sys.stderr, flush=True)


class Supervisor:
    """Runs the commands until they have all ended.

    SIGINT and SIGTERM become SIGINT: PgBouncer then finishes transactions and disconnects each
    client, while SIGTERM would wait for clients to leave, which frozen environments never do
    (since 1.23). It passes on the first one alone, since a second would cut transactions off.
    SIGHUP is passed on. Once a process has ended, the others drain as well. `prepare` is called
    with each of the processes' numbers just before it is told to drain, `tend` whenever nothing
    has happened for ten seconds.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        environ: Mapping[str, str],
        prepare: Callable[[int], None],
        tend: Callable[[], None],
    ) -> None:
        self._commands = commands
        self._environ = dict(environ)
        self._prepare = prepare
        self._tend = tend
        self._running: dict[int, int] = {}  # process id → which of them, counted from 1
        self._stopping = False
        self._failed = False

    def run(self) -> int:
        """Start them all and wait; 0 if they were asked to end, and did so in good order."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)  # before the first can end
        for process, command in enumerate(self._commands, start=1):
            pid = os.posix_spawnp(command[0], list(command), self._environ, setsigmask=())
            self._running[pid] = process
        while self._running:
            came = signal.sigtimedwait(WATCHED, TEND_S)
            if came is None:
                self._tend()
            else:
                self._obey(came.si_signo)
        return int(self._failed)

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._send(signal.SIGHUP)
        else:
            self._drain(f"{signal.Signals(number).name} came")

    def _reap(self) -> None:
        """Take note of every child that has ended; orphans come to whoever has process id 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            process = self._running.pop(pid, None)
            if process is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            say(f"process {process} ended with {code}")
            self._failed = self._failed or code != 0 or not self._stopping
            self._drain(f"process {process} has ended")

    def _drain(self, why: str) -> None:
        if not self._stopping:
            self._stopping = True
            say(f"{why}: draining {len(self._running)} processes")
            for process in self._running.values():
                self._prepare(process)
            self._send(signal.SIGINT)

    def _send(self, number: int) -> None:
        for pid in self._running:
            os.kill(pid, number)
