"""Places: where the lambdas, the image and the library are, in the repository or a wheel."""

from __future__ import annotations

from pathlib import Path

import broker

HERE = Path(__file__).parent
IMAGE = HERE / "pgbouncer_image"
LIBRARY = Path(broker.__file__).parent


def lambdas() -> Path:
    """Return the lambdas' folder: in this package in a wheel, beside it in the repository."""
    inside = HERE / "lambdas"
    return inside if inside.is_dir() else HERE.parent / "lambdas"
