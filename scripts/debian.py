"""The machine's own apt, read without a change to its configuration or lists, and its packages."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class SetupError(Exception):
    """Say for the user why one way of getting a program did not work, and what would help."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


def say(text: str) -> None:
    """Tell the user what is happening."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def run(*command: str | Path, cwd: Path | None = None, ok: Sequence[int] = (0,)) -> str:
    """Run a command with nothing on stdin; its output, or SetupError with the end of it."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{command[0]}: {error.strerror}") from error
    if done.returncode not in ok:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-15:])
        raise SetupError(f"{command[0]} failed ({done.returncode}):\n    {tail}")
    return done.stdout


@dataclass(frozen=True)
class Apt:
    """The machine's apt, with lists and a cache of our own: the system's stay as they are."""

    state: Path
    sources: Path | None = None

    def __call__(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        """Run apt-get or apt-cache."""
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::State::lists": f"{self.state}/lists",
            "Dir::Cache": f"{self.state}/cache",
            "Acquire::AllowInsecureRepositories": "false",
            "APT::Get::AllowUnauthenticated": "false",
            "DPkg::Lock::Timeout": "120",
        }
        if self.sources:
            settings |= {
                "Dir::Etc::sourcelist": str(self.sources),
                "Dir::Etc::sourceparts": "-",
            }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run(tool, "-q", *options, *arguments, cwd=cwd)

    def install(self, packages: Sequence[str]) -> None:
        """Install missing packages when we are root; SetupError with the command when not."""
        if not packages:
            return
        if os.geteuid() != 0:
            names = " ".join(packages)
            raise SetupError(f"needs {names}", remedy=f"sudo apt-get install {names}")
        say(f"installing {' '.join(packages)}")
        self("apt-get", "install", "-y", "--no-install-recommends", *packages)


@functools.cache
def machine_apt(work: Path) -> Apt:
    """Read the machine's own sources into fresh lists."""
    if not shutil.which("apt-get"):
        raise SetupError("no apt here")
    apt = Apt(work / "apt")
    try:
        apt("apt-get", "update")
    except SetupError as error:
        say(f"apt could not read every source: {str(error).splitlines()[0]}")
    return apt


def is_installed(package: str) -> bool:
    """Tell whether dpkg has the package configured."""
    status = run("dpkg-query", "-W", "-f", "${db:Status-Status}", package, ok=(0, 1))
    return status.strip() == "installed"


def candidate(apt: Apt, package: str) -> str:
    """Return the version of the package that the machine's sources offer; SetupError if none."""
    match = re.search(r"Candidate: (\S+)", apt("apt-cache", "policy", package))
    if not match or match[1] == "(none)":
        raise SetupError(f"apt has no {package}")
    return match[1]


def unpack(apt: Apt, package: str, version: str, folder: Path, *, without: str = "$^") -> None:
    """Unpack a package into the new folder, and install the libraries that it needs.

    Installing the package itself would start its service. `without` is a pattern of libraries
    that are not needed for what we do.
    """
    folder.mkdir()
    apt("apt-get", "download", f"{package}={version}", cwd=folder)
    archive = next(folder.glob("*.deb"))
    run("dpkg-deb", "-x", archive, folder)
    depends = run("dpkg-deb", "-f", archive, "Depends")
    archive.unlink()
    libraries = re.findall(r"(?:^|, )(lib[a-z0-9.+-]+)", depends)
    apt.install([n for n in libraries if not re.match(without, n) and not is_installed(n)])


def missing(apt: Apt, package: str) -> dict[str, str]:
    """Return the packages that installing this one would add, and their versions."""
    told = apt("apt-get", "install", "--simulate", "--no-install-recommends", package)
    return dict(re.findall(r"^Inst (\S+) \((\S+) ", told, flags=re.MULTILINE))


def unpack_all(apt: Apt, packages: dict[str, str], folder: Path) -> None:
    """Unpack the packages, at these versions, into the new folder; nothing is installed."""
    folder.mkdir()
    names = [f"{name}={version}" for name, version in packages.items()]
    apt("apt-get", "download", *names, cwd=folder)
    for archive in folder.glob("*.deb"):
        run("dpkg-deb", "-x", archive, folder)
        archive.unlink()
