"""The reaper's handler: the code of `broker reap`, on a schedule."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from .rules import Rules
from .run import database, run

logging.getLogger("reaper").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """End what the rules say, and return how many sessions got which verdict."""
    rules = Rules.from_env(os.environ)
    act = database().handler(lambda _event, _context: run(database(), rules))
    counts: dict[str, int] = act(event, context)
    return counts
