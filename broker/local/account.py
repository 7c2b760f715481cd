"""Who servers run as when we are root, and what that user can read."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """The unprivileged user that servers run as when we are root."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> Account | None:
        """Return `nobody` for root, None for everybody else: they run servers as themselves."""
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_uid, entry.pw_gid)

    def reaches(self, path: Path) -> bool:
        """Whether the permission bits let this user pass every folder on the way and read it."""
        path = path.resolve()
        return all(self._may(folder.stat(), 0o1) for folder in path.parents) and self._may(
            path.stat(), 0o5 if path.is_dir() else 0o4
        )

    def _may(self, status: os.stat_result, wanted: int) -> bool:
        if status.st_uid == self.uid:
            shift = 6
        elif status.st_gid == self.gid:
            shift = 3
        else:
            shift = 0
        return stat.S_IMODE(status.st_mode) >> shift & wanted == wanted

    def own(self, path: Path) -> None:
        """Hand a file, or a folder with everything in it, to this user."""
        os.chown(path, self.uid, self.gid)
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                for name in (*folders, *files):
                    os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)
