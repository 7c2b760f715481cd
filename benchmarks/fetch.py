"""10,000 rows in one statement: what receiving and converting them takes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from statistics import median

from benchmarks import peers
from benchmarks.figures import Figure, Section, ratio
from benchmarks.rounds import interleaved
from benchmarks.stack import ROWS, Target

SHAPES = {
    "bigint, text, numeric, timestamptz, boolean": "select * from wide",
    "int, text": "select * from narrow",
}
GOALS = {peers.PG8000_NATIVE: 0.5, peers.PSYCOPG: 3.0, peers.PSYCOPG_PREPARING: 3.0}


def measure(shape: str, sql: str, port: int, rounds: int, advance: Callable[[], object]) -> Section:
    """Compare the peers on the server at `port`."""
    section = Section(
        f"fetch {shape}",
        f"{ROWS:,} rows of {shape}, direct",
        ("client", "a fetch", f"{peers.OURS} ÷ it"),
        notes=[
            f"`{sql}`, every cell converted to Python. No parameters, so pg8000 needs one round "
            f"trip too. {rounds} rounds.",
        ],
    )
    with ExitStack() as opened:
        competing = {
            name: opened.enter_context(closing(connect(Target(port))))
            for name, connect in peers.PEERS.items()
        }
        for name, peer in competing.items():
            if len(peer.rows(sql)) != ROWS:
                raise AssertionError(f"{name} did not return {ROWS} rows")
        taken = interleaved(competing, rounds, lambda peer: peer.time_fetch(sql), advance)
    for name, seconds in taken.items():
        against = None
        if name != peers.OURS:
            against = ratio(taken[peers.OURS], seconds, GOALS.get(name))
        section.add(name, Figure(median(seconds) * 1e3, "ms"), against)
    return section
