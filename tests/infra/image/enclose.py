"""Become a container's first process: run by `unshare` as root, with a mount namespace of its own.

Arguments: the image's files, the user's uid and gid, and the volumes as JSON: [folder, place,
whether it may be written to]; then the command. All else is read-only. What runs afterwards has no
capability, can gain none, and ends with whoever enclosed it: the kernel forgets that at a change of
user, so it is said after it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

KERNELS = ("/proc", "/sys", "/dev")


def main(
    image: Path, uid: str, gid: str, volumes: list[tuple[str, str, bool]], command: list[str]
) -> None:
    for parent in ("/opt", "/run"):
        mount("-t", "tmpfs", "tmpfs", parent)
    for source, target in [
        (str(image / "opt/pgbouncer"), "/opt/pgbouncer"),
        *((source, target) for source, target, _ in volumes),
    ]:
        Path(target).mkdir()
        mount("--bind", source, target)
    mount("--bind", str(image / "usr/local/bin"), "/usr/local/bin")
    writable = {target for _, target, may_write in volumes if may_write}
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in [line.split()[4] for line in lines]:
        if place not in writable and not place.startswith(KERNELS):
            mount("-o", "remount,bind,ro", place)
    os.chdir("/")
    drop = ["--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs"]
    drop += ["--bounding-set=-all", "--pdeathsig", "KILL"]
    os.execvp("setpriv", ["setpriv", *drop, "--", *command])


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), sys.argv[5:])
