"""Interleaved rounds: A B C, B C A, C A B …, so that what disturbs one disturbs all."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def interleaved(
    competitors: Mapping[str, T],
    rounds: int,
    measure: Callable[[T], float],
    advance: Callable[[], object],
) -> dict[str, list[float]]:
    """Return each competitor's figure of each round. `advance` is called after every one."""
    taken: dict[str, list[float]] = {name: [] for name in competitors}
    order = list(competitors.items())
    for _ in range(rounds):
        for name, competitor in order:
            gc.collect()  # nobody pays for another's garbage
            taken[name].append(measure(competitor))
            advance()
        order.append(order.pop(0))
    return taken
