"""The monitor's handler: a look a minute, bounded by what the invocation has left."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .watch import watch

logging.getLogger("monitor").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Look at the server, and tell CloudWatch."""
    look = watch().db.handler(lambda _event, _context: watch().look())
    told: dict[str, Any] = look(event, context)
    return told
