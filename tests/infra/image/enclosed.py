"""A command in a container's layout, with no Docker: it is process 1 in there.

It runs as the image's user, on a read-only root with the volumes that it is given, in mount and
process namespaces of its own. The network is the machine's loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.wait import wait_until

ENCLOSE = Path(__file__).with_name("enclose.py")
PYTHON = "/usr/bin/python3"  # what the entrypoints' first line names; Debian's own


def need_root() -> None:
    """Skip where a container's layout cannot be made; in CI that would be a proof left out."""
    if os.geteuid() == 0 and shutil.which("unshare") and Path(PYTHON).exists():
        return
    reason = f"a container's layout needs root, unshare and {PYTHON}: not shown here"
    if os.environ.get("CI"):
        raise AssertionError(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Volume:
    """A folder outside, and where it is inside."""

    folder: Path
    place: str
    may_write: bool = True


class Enclosed:
    """Starts at once; its output goes to the files that are given."""

    def __init__(
        self,
        image: Path,
        user: tuple[int, int],
        volumes: Sequence[Volume],
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        out: Path,
        errors: Path,
    ) -> None:
        need_root()
        self._user, self._environ = user, dict(environ)
        shown = json.dumps([[str(v.folder), v.place, v.may_write] for v in volumes])
        with out.open("ab") as stdout, errors.open("ab") as stderr:
            self.outer = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                    *(sys.executable, "-I", ENCLOSE, image, str(user[0])),
                    *(str(user[1]), shown),
                    *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self._environ,
                start_new_session=True,
            )
        self.pid = wait_until(self._first, "the container's first process")

    def _first(self) -> int:
        """Return the first process's id outside; -1 if it has ended by now."""
        if self.outer.poll() is not None:
            return -1
        children = self.children(self.outer.pid)
        return children[0] if children else 0

    def children(self, pid: int | None = None) -> list[int]:
        """Return the process ids of the first process's children, in order."""
        pid = pid or self.pid
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside it, as its user, as `docker exec` does."""
        uid, gid = map(str, self._user)
        return subprocess.run(
            [
                *("nsenter", "--target", str(self.pid), "--mount", "--pid"),
                *("--setgid", gid, "--setuid", uid, "--", *command),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._environ,
            check=False,
        )

    def close(self) -> None:
        """End it at once."""
        if self.outer.poll() is None:
            self.outer.kill()  # and with it the first process, and all that is in there
        self.outer.wait()
        wait_until(lambda: not Path(f"/proc/{self.pid}").exists(), "the container to be gone")
