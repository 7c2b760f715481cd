"""The plan that the local stack runs: the repository's broker.toml; a wheel has a copy of it."""

from __future__ import annotations

import functools
from pathlib import Path

import broker
from broker.plan import Plan, make_plan, read

FILE = "broker.toml"


@functools.cache
def demo_plan() -> Plan:
    """Return the plan, or raise what is wrong with the file: it is read at the first call."""
    package = Path(broker.__file__).parent
    places = (package.parent / FILE, package / "local" / FILE)
    return make_plan(read(next((place for place in places if place.exists()), places[0])))
