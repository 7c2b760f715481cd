"""The wheel, built once for a run, and an environment that holds nothing but it."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import build, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from it; return the folder they are in."""
    directory = tmp_path_factory.mktemp("dist")
    build(directory)
    return directory


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """Return the built wheel."""
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an environment that has nothing else; return its Python."""
    return install(wheel, tmp_path_factory.mktemp("clean") / "venv")
