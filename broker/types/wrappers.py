"""What says how a value is meant where its Python type does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Json:
    """Send any value that JSON has, such as a list, a string or None, as jsonb."""

    value: Any
