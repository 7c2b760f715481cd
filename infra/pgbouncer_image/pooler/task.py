"""The container's entrypoint: secrets into files, then as many PgBouncers as there are inis.

It runs twice. The first time it reads the environment and writes the files; then it becomes itself
anew with an environment that holds no secret, so that no child has one, nor its own /proc entry.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import given, userlist
from .directory import Directory, TaskError
from .leaving import part_with_idle_clients
from .logs import keep_short
from .supervisor import Supervisor, say

BAD_START = 2
RUN = "--run"
PREFIXES = (given.INI, given.SERVER, given.CLIENT, given.CERTIFICATE)


def main(argv: Sequence[str]) -> int:
    """Run the task; 0 when it was asked to end and did, 1 when a process ended, 2 on bad input."""
    directory = Directory.from_env(os.environ)
    if list(argv[1:]) == [RUN]:
        commands = [("pgbouncer", str(ini)) for ini in directory.inis()]
        prepare = functools.partial(part_with_idle_clients, directory)
        tend = functools.partial(keep_short, directory)
        return Supervisor(commands, os.environ, prepare, tend).run()
    try:
        lay_out(given.read(os.environ), directory)
    except TaskError as error:
        say(str(error))
        return BAD_START
    command = [sys.executable, "-Es", argv[0], RUN]
    return os.execve(sys.executable, command, without_secrets(os.environ))  # noqa: S606  no shell


def lay_out(told: given.Given, directory: Directory) -> None:
    """Write every file that PgBouncer reads, and make the folders of its sockets."""
    for path in directory.inis():  # of a container that was restarted with fewer
        path.unlink()
    directory.write(directory.path / "userlist.txt", userlist.render(told.clients, told.servers))
    directory.write(directory.path / "server.crt", told.certificate)
    directory.write(directory.path / "server.key", told.key)
    for process, text in enumerate(told.inis, start=1):
        directory.make_sockets(process)
        directory.write(directory.ini(process), with_log(text, directory.log(process)))


def with_log(ini: str, log: Path) -> str:
    """Return the pgbouncer.ini with a log that the exporter can read, besides the task's own."""
    lines = ini.splitlines()
    at = lines.index(given.SECTION) + 1
    told = ["; where the exporter counts failed logins; kept short", f"logfile = {log}"]
    return "\n".join([*lines[:at], *told, *lines[at:], ""])


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the processes get."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIXES)}
