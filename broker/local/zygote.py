"""The process that every environment is forked from, and its only parent.

It runs as a script of its own with one thread, so that forking is safe, and imports nothing
of awslambdaric, whose C++ client reads its address when it is imported. Over one socket it is
told what to start and tells what has started and ended. When that socket closes, because the
fleet closed or its process died in whatever way, it kills every environment and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
LENGTH = struct.Struct("!I")
PARENT_GONE = 70  # EX_SOFTWARE


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux; elsewhere do nothing)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call
        os._exit(PARENT_GONE)


def become(job: dict[str, Any]) -> None:
    """Turn this fresh child into the environment that the job describes.

    `how` is "fork" (run the runtime in this process) or "exec" (a new interpreter, whose
    cold start is worth measuring).
    """
    os.environ.clear()
    os.environ.update(job["variables"])
    time.tzset()
    os.chdir(job["code"])
    if job["how"] == "exec":
        command = [sys.executable, "-B", "-m", "awslambdaric", job["handler"]]
        os.execve(sys.executable, command, job["variables"])  # noqa: S606
    sys.dont_write_bytecode = True  # /var/task is read-only
    sys.path.insert(0, job["code"])
    sys.argv = ["awslambdaric", job["handler"]]
    from awslambdaric.__main__ import main  # only here: it reads its address when imported

    main(sys.argv)


class Zygote:
    """Forks environments on demand and reports their ends, until its control socket closes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, str] = {}
        self._woken, self._wake = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> dict[str, Any] | None:
        """Return the job in each child, and None in the zygote when all is over."""
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._reap()
                    continue
                frame = self._receive()
                if frame is None:
                    self._kill_all()
                    return None
                if self._fork(*frame):
                    return frame[0]

    def tell(self, **message: Any) -> None:
        """Send the fleet one line of JSON; a fleet that is gone is noticed when reading."""
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> tuple[dict[str, Any], int] | None:
        try:
            header, fds, _, _ = socket.recv_fds(self._control, LENGTH.size, 1)
            header += self._read(LENGTH.size - len(header))
            (length,) = LENGTH.unpack(header)
            return json.loads(self._read(length)), fds[0]
        except (EOFError, OSError):  # OSError: the fleet closed with lines of ours unread
            return None

    def _read(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            part = self._control.recv(count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _fork(self, job: dict[str, Any], log_fd: int) -> bool:
        """Say whether this is the child."""
        zygote_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            die_with_parent(zygote_pid)
            self._let_go(log_fd)
            return True
        os.close(log_fd)
        with contextlib.suppress(OSError):  # the child was quicker
            os.setpgid(pid, pid)
        self._children[pid] = job["id"]
        self.tell(started=job["id"], pid=pid)
        return False

    def _let_go(self, log_fd: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for mine in (self._control, self._woken, self._wake):
            mine.close()
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            kill_group(pid)  # what a handler started does not outlive its environment
            name = self._children.pop(pid)
            self.tell(ended=name, status=os.waitstatus_to_exitcode(status))

    def _kill_all(self) -> None:
        for pid in self._children:
            kill_group(pid)
        for pid in self._children:
            os.waitpid(pid, 0)


def kill_group(pid: int) -> None:
    """Kill a process and all that it started, stopped ones included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies
        os.killpg(pid, signal.SIGKILL)


def main(control_fd: int, parent_pid: int, preload: list[str]) -> None:
    """Import what environments will need, say that all is ready, and serve."""
    die_with_parent(parent_pid)
    zygote = Zygote(socket.socket(fileno=control_fd))
    try:
        for module in preload:
            importlib.import_module(module)
        if threading.active_count() > 1:
            raise RuntimeError("a preloaded module started a thread; environments cannot fork")
    except Exception:
        zygote.tell(failed=traceback.format_exc())
        return
    gc.collect()
    gc.freeze()  # a collection in a child must not touch, and so copy, the shared pages
    zygote.tell(ready=os.getpid())
    job = zygote.serve()
    if job is not None:
        del zygote
        become(job)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
