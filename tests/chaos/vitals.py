"""What a process holds, as Linux tells it: threads, descriptors, and sessions among them."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
AVAILABLE = (_PROC / "self" / "fd").is_dir()


class Vitals(NamedTuple):
    """One process at one moment."""

    threads: int
    sessions: int
    """Sockets towards one of the ports that were asked about, or of a TCP connection that died."""
    descriptors: int
    """All others."""


def sockets() -> dict[str, tuple[int, int]]:
    """Return every TCP socket of this machine: inode → its own port and its peer's."""
    found = {}
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        words = line.split()
        local, remote = (int(word.rpartition(":")[2], 16) for word in words[1:3])
        found[words[9]] = local, remote
    return found


def _unix_sockets() -> set[str]:
    lines = (_PROC / "net" / "unix").read_text().splitlines()[1:]
    return {line.split()[6] for line in lines}


def inodes(pid: int) -> list[str]:
    """Return what each descriptor of the process is: for a socket its inode, else ""."""
    kinds = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                kinds.append(target[8:-1] if target.startswith("socket:[") else "")
    return kinds


def vitals(pid: int, ports: Container[int], known: dict[str, tuple[int, int]]) -> Vitals:
    """Return the vitals of a process whose sessions go to one of these ports."""
    held = inodes(pid)
    local = _unix_sockets()
    sessions = sum(
        known[inode][1] in ports if inode in known else bool(inode) and inode not in local
        for inode in held
    )
    threads = sum(1 for _ in (_PROC / str(pid) / "task").iterdir())
    return Vitals(threads, sessions, len(held) - sessions)


def holder_of(port: int, pids: list[int]) -> int | None:
    """Return which of these processes holds the socket with this port of its own."""
    wanted = {inode for inode, (local, _) in sockets().items() if local == port}
    return next((pid for pid in pids if wanted.intersection(inodes(pid))), None)
