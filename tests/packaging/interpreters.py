"""Interpreters: the Pythons of this machine that the wheel is for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
ASKED = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def interpreter(version: str) -> Path | None:
    """Return a Python of this version that can make environments, from PATH or pyenv, or None."""
    for candidate in _candidates(version):
        try:
            done = subprocess.run(
                [candidate, "-c", ASKED], capture_output=True, text=True, check=False
            )
        except OSError:  # a broken link
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    """Give every one on PATH, then pyenv's own: its shims refuse what is not chosen."""
    for directory in os.get_exec_path():
        found = shutil.which(f"python{version}", path=directory)
        if found:
            yield Path(found)
    if shutil.which("pyenv"):
        for name in _told("pyenv", "versions", "--bare").split():
            if name.startswith(f"{version}."):
                yield Path(_told("pyenv", "prefix", name).strip(), "bin", "python")


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
