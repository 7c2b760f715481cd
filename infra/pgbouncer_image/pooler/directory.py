"""The two directories that the container may write to, and what is where in them.

One has the secrets, and is the poolers' alone. The other has sockets and logs, and is lent to the
exporter, which may not write to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "PGBOUNCER_DIRECTORY"
DEFAULT = "/run/pgbouncer"
SHARED_VARIABLE = "PGBOUNCER_SOCKETS"
SHARED_DEFAULT = "/run/pgbouncer-sockets"


class TaskError(Exception):
    """The task cannot start. The message is one line, and holds no secret."""


@dataclass(frozen=True)
class Directory:
    """Where the files are; the rendered pgbouncer.ini names the same places."""

    path: Path
    shared: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Directory:
        """Return those that the environment names, or the image's."""
        return cls(
            Path(environ.get(VARIABLE) or DEFAULT),
            Path(environ.get(SHARED_VARIABLE) or SHARED_DEFAULT),
        )

    def inis(self) -> list[Path]:
        """Return the pgbouncer.ini of every process, in order."""
        return sorted(self.path.glob("pgbouncer-*.ini"), key=number)

    def ini(self, process: int) -> Path:
        """Return where this process' pgbouncer.ini is, counted from 1."""
        return self.path / f"pgbouncer-{process}.ini"

    def sockets(self, process: int) -> Path:
        """Return the folder of this process' socket."""
        return self.shared / str(process)

    def log(self, process: int) -> Path:
        """Return where this process writes its log, besides to the task's own."""
        return self.sockets(process) / "log"

    def processes(self) -> list[int]:
        """Return the processes that have a folder, in order; for who does not see the inis."""
        return sorted(int(each.name) for each in self.shared.glob("[0-9]*"))

    def socket(self, process: int) -> Path:
        """Return this process' socket; FileNotFoundError while it has none."""
        paths = list(self.sockets(process).glob(".s.PGSQL.*[0-9]"))
        if not paths:
            raise FileNotFoundError("has no socket: it has not started, or it drains")
        return paths[0]

    def make_sockets(self, process: int) -> None:
        """Make the folder of this process' socket, for this account alone."""
        try:
            self.sockets(process).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.shared, error) from None

    def write(self, path: Path, text: str) -> None:
        """Write a file that this account alone may read, in place of one that was there."""
        try:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError as error:
            raise _unwritable(self.path, error) from None


def number(ini: Path) -> int:
    """Return which process' pgbouncer.ini this is."""
    return int(ini.stem.rpartition("-")[2])


def _unwritable(path: Path, error: OSError) -> TaskError:
    return TaskError(
        f"{path}: {error.strerror}; mount a volume there that uid {os.geteuid()} may write to"
    )
