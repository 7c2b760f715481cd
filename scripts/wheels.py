"""Wheels: ours, built, and installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import broker

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    """Run it, and return what it printed; RuntimeError with all that it said if it fails."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(into: Path) -> Path:
    """Build the sdist, and the wheel from that sdist: so it is complete. Return the wheel."""
    run(sys.executable, "-m", "build", "-o", into, ROOT, cwd=into)
    (wheel,) = into.glob(f"*-{broker.__version__}-*.whl")
    return wheel


def install(wheel: Path, into: Path, python: str | Path = sys.executable) -> Path:
    """Install the wheel in a new environment that has nothing else; return its Python."""
    run(python, "-m", "venv", "--without-pip", "--symlinks", into, cwd=into.parent)
    made = into / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", made, "--disable-pip-version-check")
    wanted = ("-c", ROOT / "constraints.txt", wheel)
    run(*pip, "install", "-q", "--no-input", "--no-compile", *wanted, cwd=into)
    return made
