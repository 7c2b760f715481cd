"""How long to wait before the next attempt: full jitter, so that a herd spreads itself out.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

BASE_S = 0.025  # the first wait's upper end: about what a pooler needs to free a slot
CAP_S = 1.0  # no wait is longer, so that a freed slot is found within about a second


def delay_s(
    attempt: int, rng: random.Random, *, base_s: float = BASE_S, cap_s: float = CAP_S
) -> float:
    """Return the wait before attempt number `attempt + 1`, in seconds.

    Drawn evenly from 0 to base_s · 2^attempt, at most cap_s; `attempt` counts from 0.
    """
    ceiling = cap_s if attempt > 30 else min(cap_s, base_s * 2.0**attempt)  # 2^30 · base > any cap
    return rng.uniform(0.0, ceiling)
