"""One row by its id: how long a statement takes, direct, through PgBouncer, and with a delay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from statistics import median

from benchmarks import peers
from benchmarks.figures import Figure, Section, ratio
from benchmarks.rounds import interleaved
from benchmarks.stack import BOUNDED, RIDES, Target

Goals = Mapping[tuple[str, str], float]
"""The most that the first (one of ours) may take, as a multiple of the second."""

NO_GOALS: Goals = {}
POOLED_GOALS: Goals = {
    (peers.OURS, peers.PG8000_NATIVE): 0.45,
    (peers.OURS_RIDING, peers.PG8000_NATIVE): 0.45,
    (peers.OURS, peers.PSYCOPG): 1.15,
    (peers.OURS, peers.PSYCOPG_PREPARING): 1.15,
    (peers.OURS_RIDING, peers.PSYCOPG): 1.4,
    (peers.OURS_RIDING, peers.PSYCOPG_PREPARING): 1.4,
}
DELAYED_GOALS: Goals = {
    (peers.OURS, peers.PG8000_NATIVE): 0.4,
    (peers.OURS_RIDING, peers.PG8000_NATIVE): 0.4,
}
OURS = (peers.OURS, peers.OURS_RIDING)
NOTES = (
    "`select id, name from item where id = $1`: an int4 primary key, 1,000 rows. One client, "
    "autocommit. Each figure is the median over rounds of a round's median statement.",
    f"`{peers.PSYCOPG}` is psycopg 3's binary build with prepare_threshold=None; "
    f"`{peers.PSYCOPG_PREPARING}` is as it comes, and like asyncpg keeps the statement prepared.",
    f"`{peers.OURS_RIDING}`: as a role with no statement_timeout, so set_config rides in the "
    "flight. All the others as a role with `statement_timeout = 30s`, so nothing has to ride.",
)


def measure(
    key: str,
    title: str,
    port: int,
    goals: Goals,
    rounds: int,
    statements: int,
    advance: Callable[[], object],
) -> Section:
    """Compare the peers on the server at `port`, `statements` a round each."""
    bounded, rides = Target(port, BOUNDED), Target(port, RIDES)
    with ExitStack() as opened:
        competing = {peers.OURS_RIDING: opened.enter_context(closing(peers.ours(rides)))}
        for name, connect in peers.PEERS.items():
            competing[name] = opened.enter_context(closing(connect(bounded)))
        for peer in competing.values():
            peer.warm_up()

        def round_of(peer: peers.Peer) -> float:
            return median(peer.time_rows(statements))

        taken = interleaved(competing, rounds, round_of, advance)
    header = ("client", "a statement", *(f"{name} ÷ it" for name in OURS))
    section = Section(key, title, header, notes=[*NOTES, f"{rounds} rounds of {statements} each."])
    for name, seconds in taken.items():
        ratios = [
            None if name in OURS else ratio(taken[mine], seconds, goals.get((mine, name)))
            for mine in OURS
        ]
        section.add(name, Figure(median(seconds) * 1e6, "µs", 0), *ratios)
    return section
