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
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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
        remove(Path(directory))


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
    """Send the signal; SIGKILL past the bound, and in any case to what is left of its group."""
    bound = time.monotonic() + STOP_BOUND_S
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        while time.monotonic() < bound:
            time.sleep(POLL_S / 10)
            os.kill(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def remove(directory: Path) -> None:
    """Delete all that a server left, though a process that was just killed may still be writing."""
    remove_shared_memory(directory / "data" / "postmaster.pid")
    bound = time.monotonic() + STOP_BOUND_S
    while directory.exists() and time.monotonic() < bound:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.001)


def remove_shared_memory(pid_file: Path) -> None:
    """Remove a killed PostgreSQL's System V segment: nothing but its next start would."""
    try:
        _key, segment = pid_file.read_text().splitlines()[6].split()
    except (OSError, IndexError, ValueError):
        return  # it ended cleanly, had no segment yet, or is no PostgreSQL
    with contextlib.suppress(OSError):  # no ipcrm here: the segment is 56 bytes
        subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)


if __name__ == "__main__":
    main(sys.argv[1])
