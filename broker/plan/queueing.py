"""Waiting for a session: M/M/c, Erlang's C, and the tail of the wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

P99 = 2.326  # the normal distribution's 99th percentile
LARGE = 2_000.0  # offered load beyond which square-root staffing is exact enough


def erlang_c(load: float, servers: int) -> float:
    """Return the chance that an arrival waits; `load` is rate × mean time, below `servers`."""
    if load >= servers:
        return 1.0
    return _wait_chance(erlang_b(load, servers), load, servers)


def erlang_b(load: float, servers: int) -> float:
    """Return the chance that an arrival is lost where none may wait."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def _wait_chance(blocked: float, load: float, servers: int) -> float:
    return blocked / (1 - load / servers * (1 - blocked))


def waits_longer(load: float, servers: int, mean_s: float, wait_s: float, spread: float) -> float:
    """Return the chance to wait longer than `wait_s`.

    `spread` is (1 + cv²) / 2 of the service time: 1 for the exponential one of M/M/c, and the
    factor that the mean wait grows by for others (Allen and Cunneen's approximation).
    """
    if load >= servers:
        return 1.0
    decay = (servers - load) * wait_s / (mean_s * spread) if mean_s else math.inf
    return erlang_c(load, servers) * math.exp(-decay)


def wait_p99(load: float, servers: int, mean_s: float, spread: float) -> float:
    """Return the wait that 99 of 100 stay below; infinite without a steady state."""
    if load >= servers:
        return math.inf
    chance = erlang_c(load, servers)
    if chance <= 0.01:
        return 0.0
    return math.log(chance / 0.01) * mean_s * spread / (servers - load)


def servers_needed(
    load: float, mean_s: float, wait_s: float, wait_chance: float, spread: float
) -> int:
    """Return the fewest servers with which waiting longer than `wait_s` is that rare."""
    if load > LARGE:
        return math.ceil(load + 4 * math.sqrt(load))  # waits with a chance below 0.0001
    servers = max(1, math.floor(load) + 1)
    blocked = erlang_b(load, servers)
    while True:
        decay = (servers - load) * wait_s / (mean_s * spread)
        if _wait_chance(blocked, load, servers) * math.exp(-decay) <= wait_chance:
            return servers
        servers += 1
        blocked = load * blocked / (servers + load * blocked)


def spread(times: Sequence[tuple[float, float, float | None]]) -> float:
    """Return (1 + cv²) / 2 of a mixture of (rate, mean_s, p99_s), never below 1."""
    total = sum(rate for rate, _, _ in times)
    mean = sum(rate * mean_s for rate, mean_s, _ in times) / total
    square = sum(rate * mean_s**2 * (1 + cv2(mean_s, p99_s)) for rate, mean_s, p99_s in times)
    return max(1.0, square / total / mean**2 / 2)


def log_sigma(mean_s: float, p99_s: float | None) -> float | None:
    """Return the σ of the log-normal time with this mean and p99, None for an exponential one.

    p99/mean = exp(2.326σ - σ²/2) has its largest value at σ = 2.326; beyond it σ stays there.
    """
    if p99_s is None or p99_s <= mean_s:
        return None
    return P99 - math.sqrt(max(0.0, P99**2 - 2 * math.log(p99_s / mean_s)))


def cv2(mean_s: float, p99_s: float | None) -> float:
    """Return the squared coefficient of variation; a p99 is read as that of a log-normal time."""
    sigma = log_sigma(mean_s, p99_s)
    return 1.0 if sigma is None else math.exp(sigma**2) - 1
