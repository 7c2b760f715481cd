"""Footprint: what a backend really costs in memory, where the platform shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.errors import StatementError
from broker.plan.live import Run

# Only a superuser may read /proc through the server, and only on Linux: so not on RDS.
PROC = """
    select pg_read_file('/proc/' || pid || '/smaps_rollup', 0, 8192, true),
           pg_read_file('/proc/' || pid || '/status', 0, 8192, true)
    from pg_stat_activity where backend_type = 'client backend'
"""
CONTEXTS = "select sum(total_bytes)::bigint from pg_backend_memory_contexts"
WARM = "select count(*) from information_schema.columns"  # fills the catalogue caches
_PRIVATE = re.compile(r"^(?:Private_(?:Clean|Dirty)|VmPTE):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of the largest backend, how many were looked at, and how. None: not shown there."""

    largest_bytes: int | None
    backends: int
    how: str


def measure(run: Run) -> Footprint:
    """Ask the system where it may be asked, else the server about this backend."""
    run(WARM)
    try:
        sizes = [private_bytes(f"{rollup}\n{status}") for rollup, status in run(PROC) if rollup]
        if sizes:
            how = "private memory and page tables in /proc, the largest client backend's"
            return Footprint(max(sizes), len(sizes), how)
    except StatementError:
        pass  # not a superuser, or no /proc: the next best answers
    try:
        size = int(run(CONTEXTS)[0][0])
    except StatementError as error:
        return Footprint(None, 0, f"not shown here: {error}")
    how = "memory contexts of this backend alone: the process around them is not in it"
    return Footprint(size, 1, how)


def private_bytes(text: str) -> int:
    """Return what /proc's smaps_rollup and status say belongs to the process alone."""
    return sum(int(kilobytes) * 1024 for kilobytes in _PRIVATE.findall(text))
