"""Become a container's first process: run by `unshare` as root, with a mount namespace of its own.

Arguments: the image's files, the volume's folder, and the user's uid and gid; then the command.
Everything is read-only but the volume. What runs afterwards has no capability, can gain none, and
ends with whoever enclosed it: the kernel forgets that at a change of user, so it is said after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VOLUME = "/run/pgbouncer"
KERNELS = ("/proc", "/sys", "/dev")


def main(image: Path, volume: Path, uid: str, gid: str, command: list[str]) -> None:
    for parent in ("/opt", "/run"):
        mount("-t", "tmpfs", "tmpfs", parent)
    for source, target in ((image / "opt/pgbouncer", "/opt/pgbouncer"), (volume, VOLUME)):
        Path(target).mkdir()
        mount("--bind", str(source), target)
    mount("--bind", str(image / "usr/local/bin"), "/usr/local/bin")
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in [line.split()[4] for line in lines]:
        if place != VOLUME and not place.startswith(KERNELS):
            mount("-o", "remount,bind,ro", place)
    os.chdir("/")
    drop = ["--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs"]
    drop += ["--bounding-set=-all", "--pdeathsig", "KILL"]
    os.execvp("setpriv", ["setpriv", *drop, "--", *command])


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
