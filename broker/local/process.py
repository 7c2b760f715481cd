"""A server as a child process: unprivileged, awaited, stopped by its pid, never outliving us."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from broker.errors import BrokerError
from broker.local.account import Account
from broker.local.guard import remove

READY_BOUND_S = 60.0  # generous: a loaded two-core machine takes 2 s
STOP_BOUND_S = 20.0
POLL_S = 0.01
LOOPBACK = "127.0.0.1"
# Below the kernels' ephemeral ranges (Linux 32768+, macOS 49152+): a client's own source port can
# then neither take a stopped server's port nor connect to itself.
PORTS = range(20_000, 32_000)
# Nothing of ours leaks into a server: PG* variables would. C on macOS keeps Postgres from crashing.
ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


class ServerError(BrokerError):
    """A server of the local stack did not start, stop or answer. Read its log's end for why."""


class PortTaken(ServerError):
    """Somebody took the port between our look and the server's bind. Try another port."""


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    for _ in range(1000):
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return port
    raise ServerError(f"no free port between {PORTS.start} and {PORTS.stop} on {LOOPBACK}")


def raise_file_limit(wanted: int) -> None:
    """Raise our limit of open files, which children inherit, as far as we are allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        enough = hard == resource.RLIM_INFINITY or hard >= wanted
        with contextlib.suppress(ValueError, OSError):
            if enough:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            elif os.geteuid() == 0:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            else:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class ServerProcess:
    """One server's directory, log and process.

    The directory is temporary and goes with `close()`, unless one was given: that one is kept.
    A guard (guard.py) ends the server and deletes the directory if we are gone without `close()`.
    `environment` is added to ENVIRONMENT. `as_us` keeps our user, though we be root.
    """

    def __init__(
        self,
        name: str,
        directory: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        as_us: bool = False,
    ) -> None:
        self.name = name
        self.account = None if as_us else Account.for_servers()
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self._keep = directory is not None
        self._child: subprocess.Popen[bytes] | None = None
        self.directory = self._make_directory(directory)
        self.log = self.directory / f"{name}.log"
        self._guard = self._start_guard()

    def _make_directory(self, given: Path | None) -> Path:
        if given:
            given.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory = given.resolve()
        else:
            directory = Path(tempfile.mkdtemp(prefix=f"broker-{self.name}-", dir=self._parent()))
        if self.account:
            os.chown(directory, self.account.uid, self.account.gid)
        return directory

    def _parent(self) -> str | None:
        """Return where temporary directories go; None is Python's choice. TMPDIR may be private."""
        if self.account is None or self.account.reaches(Path(tempfile.gettempdir())):
            return None
        return next(
            (name for name in ("/tmp", "/var/tmp") if self.account.reaches(Path(name))),  # noqa: S108
            None,
        )

    def _start_guard(self) -> IO[bytes]:
        script = Path(__file__).with_name("guard.py")
        self._guard_process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        assert self._guard_process.stdin is not None  # noqa: S101
        if self._keep:
            self._guard_process.stdin.write(b"keep\n")
        return self._guard_process.stdin

    @property
    def pid(self) -> int:
        """The server's process id; ServerError when it is not running."""
        if self._child is None:
            raise ServerError(f"{self.name} is not running")
        return self._child.pid

    def is_running(self) -> bool:
        """Whether the server was started and has not ended, by us or by itself."""
        return self._child is not None and self._child.poll() is None

    def write(self, name: str, text: str) -> Path:
        """Write a file that the server alone may read; its path."""
        path = self.directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        if self.account:
            self.account.own(path)
        return path

    def make_folder(self, name: str) -> Path:
        """Make a folder that the server alone may enter; its path."""
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        if self.account:
            self.account.own(path)
        return path

    def reachable(self, tree: Path, probe: str | Path = "") -> Path:
        """Return the file or folder, or a copy of ours where the server's user cannot read it.

        `probe` names a file in the folder that must be readable. A clone under /root needs this.
        """
        if self.account is None or self.account.reaches(tree / probe):
            return tree
        copy = self.directory / tree.name
        if not copy.exists():
            (shutil.copytree if tree.is_dir() else shutil.copy2)(tree, copy)
            self.account.own(copy)
        return copy

    def run(self, command: Sequence[str | Path]) -> None:
        """Run a command to its end as the server's user; ServerError shows why it failed."""
        child = self._spawn(command, signal.SIGTERM)
        try:
            if child.wait(READY_BOUND_S):
                raise ServerError(f"{Path(command[0]).name} failed:\n{self.log_tail()}")
        except subprocess.TimeoutExpired:
            raise ServerError(
                f"{Path(command[0]).name} took over {READY_BOUND_S:g} s:\n{self.log_tail()}"
            ) from None
        finally:
            self.kill()

    def start(
        self, command: Sequence[str | Path], *, ready: Callable[[str], bool], stop_signal: int
    ) -> None:
        """Start the server and wait until it is ready; PortTaken or ServerError, log shown, if not.

        `ready` is asked with the log since the start. `stop_signal` is what the guard sends should
        we be gone.
        """
        if self.is_running():
            raise ServerError(f"{self.name} is already running")
        log_from = self.log.stat().st_size if self.log.exists() else 0
        self._spawn(command, stop_signal)
        bound = time.monotonic() + READY_BOUND_S
        try:
            while not ready(self._log_since(log_from)):
                if not self.is_running():
                    raise _failure(f"{self.name} ended while starting", self._log_since(log_from))
                if time.monotonic() > bound:
                    raise _failure(
                        f"{self.name} was not ready after {READY_BOUND_S:g} s",
                        self._log_since(log_from),
                    )
                time.sleep(POLL_S)
        except BaseException:
            self.kill()
            raise

    def _log_since(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _spawn(self, command: Sequence[str | Path], stop_signal: int) -> subprocess.Popen[bytes]:
        account = self.account
        with self.log.open("ab") as log:
            child = self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches us alone: we stop servers in order
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._tell_guard(f"watch {child.pid} {int(stop_signal)}")
        return child

    def _tell_guard(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it can only be gone if somebody killed it
            self._guard.write(f"{line}\n".encode())

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        os.kill(self.pid, number)

    def stop(self, number: int, bound_s: float = STOP_BOUND_S) -> None:
        """Send the signal and wait for the end; SIGKILL, and ServerError, past the bound."""
        child = self._child
        if child is None:
            return
        try:
            child.send_signal(number)
            child.wait(bound_s)
        except subprocess.TimeoutExpired:
            raise ServerError(
                f"{self.name} had to be killed: {signal.Signals(number).name} did not end it in "
                f"{bound_s:g} s; the end of its log:\n{self.log_tail()}"
            ) from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End the server with SIGKILL, if it is there at all."""
        child, self._child = self._child, None
        if child is not None:
            if child.poll() is None:  # its group is its own: initdb has children in it
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            self._tell_guard("forget")

    def close(self) -> None:
        """Kill what still runs, delete the directory if it is ours, and send the guard home."""
        self.kill()
        if not self._keep:
            remove(self.directory)
        self._tell_guard("done")
        with contextlib.suppress(OSError):
            self._guard.close()
        self._guard_process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """Return the log's last lines."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _failure(what: str, log: str) -> ServerError:
    kind = PortTaken if "already in use" in log else ServerError
    tail = "\n".join(log.splitlines()[-20:])
    return kind(f"{what}; the end of its log:\n{tail}")
