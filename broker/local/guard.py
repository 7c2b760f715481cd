"""End a server and delete its directory when the process that started it is gone, however it went.

Run as a script, on the standard library alone: `guard.py DIRECTORY`. It takes lines on stdin:
`watch PID SIGNAL` (what to end, and how), `forget` (it ended), `keep` (leave the directory) and
`done`. A signal handler or atexit would miss SIGKILL; PR_SET_PDEATHSIG is Linux's alone, and
fires when the *thread* that started the server ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator

POLL_S = 0.25  # a forked child of our parent may hold the pipe open: so look at the parent as well
STOP_BOUND_S = 5.0


def main(directory: str) -> None:
    """Wait until the parent says done or is gone; clean up in the second case."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    keep = False
    watched: list[bytes] = []
    for verb, *arguments in orders(os.getppid()):
        if verb == b"done":
            return
        if verb == b"keep":
            keep = True
        else:  # watch PID SIGNAL, or forget
            watched = arguments
    if watched:
        end(*map(int, watched))
    if not keep:
        shutil.rmtree(directory, ignore_errors=True)


def orders(parent: int) -> Iterator[list[bytes]]:
    """Yield the parent's lines as words, until the parent is gone."""
    buffer = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], POLL_S)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            return
        *lines, buffer = (buffer + read).split(b"\n")
        yield from (line.split() for line in lines)


def end(pid: int, number: int) -> None:
    """Send the signal, and SIGKILL if the process is still there after the bound."""
    bound = time.monotonic() + STOP_BOUND_S
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        while time.monotonic() < bound:
            time.sleep(0.02)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
