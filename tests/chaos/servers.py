"""Faults of PostgreSQL and PgBouncer: killed, restarted, demoted, full, with other passwords."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pg8000.native

from tests.chaos.fault import ALL, Fault
from tests.chaos.link import End, Link
from tests.chaos.network import clients_links
from tests.chaos.world import DATABASE, DIRECT, POOL_SIZE, POOLED, RESERVE_SIZE, SETTLED_S, World

AT_ONCE = 3
HOG_BOUND_S = 5.0  # for where another fault has silenced the way
HOGGED_S = 0.4  # below the pooler's query_wait_timeout
HOGGED_LONG_S = 1.6  # above it


def _kills_mid_statement(world: World, rng: Random) -> int:
    return world.terminate("state = 'active'", limit=rng.randint(1, 2))


def _kills_between_statements(world: World, rng: Random) -> int:
    return world.terminate("state = 'idle in transaction'", limit=rng.randint(1, 2))


def _kills_the_idle(world: World, rng: Random) -> int:
    killed = world.terminate("state = 'idle'")
    time.sleep(SETTLED_S)
    return killed


def _pooler_killed(world: World, rng: Random) -> int:
    world.restart_pooler(signal.SIGKILL)
    return 1


def _pooler_restarted(world: World, rng: Random) -> int:
    world.restart_pooler(signal.SIGINT)
    return 1


def _restarted_immediately(world: World, rng: Random) -> int:
    world.cluster.restart("immediate")
    return 1


def _restarted_fast(world: World, rng: Random) -> int:
    world.cluster.restart("fast")
    return 1


def _all_restarted(world: World, rng: Random) -> int:
    world.cluster.restart("fast")
    world.restart_pooler(signal.SIGINT)
    time.sleep(SETTLED_S)
    return 1


def _switched_over(world: World, rng: Random) -> int:
    world.cluster.switch_over()
    time.sleep(rng.uniform(0, 0.2))
    world.pooler.admin("reconnect")  # as it does when its host's name has another address
    return 1


def _failed_over(world: World, rng: Random) -> int:
    world.cluster.fail_over()
    return 1


def _hog(world: World, hold_s: float) -> int:
    """Take every server connection that the pooler has."""

    def hold(_: int) -> None:
        connection = pg8000.native.Connection(
            POOLED,
            host=world.pooler.host,
            port=world.pooler.port,
            password=(world.vault.current | world.vault.pending)[POOLED],
            database=DATABASE,
            ssl_context=False,
            timeout=HOG_BOUND_S,
        )
        try:
            connection.run(f"select pg_sleep({hold_s})")
        finally:
            connection._usock.close()

    places = POOL_SIZE + RESERVE_SIZE
    with ThreadPoolExecutor(places) as threads:
        for future in [threads.submit(hold, n) for n in range(places)]:
            future.exception()  # some wait in vain, as clients do
    return 1


def _pool_full(world: World, rng: Random) -> int:
    return _hog(world, HOGGED_S)


def _pool_full_for_long(world: World, rng: Random) -> int:
    return _hog(world, HOGGED_LONG_S)


def _no_more_clients(world: World, rng: Random) -> int:
    """PgBouncer takes nobody new (08P01), and those it has are cut off."""
    world.pooler.admin("set max_client_conn = 1")
    try:
        hit = _cut_off(world, world.to_pooler.links(), rng)
    finally:
        world.restore_client_limit()
    return hit


def _no_more_sessions(world: World, rng: Random) -> int:
    """PostgreSQL takes nobody new (53300), and those it has are cut off."""
    world.sql(f"alter role {DIRECT} connection limit 0")
    try:
        hit = _cut_off(world, world.direct.links(), rng)
    finally:
        world.sql(f"alter role {DIRECT} connection limit -1")
    return hit


def _cut_off(world: World, links: list[Link], rng: Random) -> int:
    for link in links:
        link.hop.call(link.end, End.RESET)
    time.sleep(rng.uniform(0.1, 0.5))
    return len(links)


def _rotated(world: World, rng: Random) -> int:
    """Rotate under way, as Secrets Manager does: pending, changed on the server, then current."""
    world.rotate_passwords()
    time.sleep(rng.uniform(0, 0.2))
    world.vault.finish()
    return _some_log_in_anew(world, rng)


def _rotated_at_rest(world: World, rng: Random) -> int:
    """Rotate, and have some log in anew, of whom some have missed several rotations."""
    world.rotate_passwords()
    world.vault.finish()
    return _some_log_in_anew(world, rng)


def _some_log_in_anew(world: World, rng: Random) -> int:
    """Not all at once: each makes boto3's clients, and two processors make a few of them a second.

    On Lambda each environment has a processor's share of its own.
    """
    links = clients_links(world)
    return _cut_off(world, rng.sample(links, min(len(links), AT_ONCE)), rng)


SERVERS = (
    Fault(name="backend killed mid-statement", strike=_kills_mid_statement),
    Fault(name="backend killed between statements", strike=_kills_between_statements),
    Fault(name="backend killed while idle", strike=_kills_the_idle, at_rest=True, survives=ALL),
    Fault(name="PgBouncer killed (SIGKILL)", strike=_pooler_killed, gap_s=0.3, weight=0.6),
    Fault(name="PgBouncer restarted gracefully", strike=_pooler_restarted, gap_s=0.3, weight=0.6),
    Fault(name="PostgreSQL restarted: immediate", strike=_restarted_immediately, gap_s=0.5),
    Fault(name="PostgreSQL restarted: fast", strike=_restarted_fast, gap_s=0.5),
    Fault(
        name="both restarted while idle",
        strike=_all_restarted,
        at_rest=True,
        survives=ALL,
        weight=0.3,
    ),
    Fault(
        name="switch-over: the old writer read-only",
        strike=_switched_over,
        strikes=1,
        gap_s=1.0,
        survives=ALL,
    ),
    Fault(name="fail-over: the old writer crashed", strike=_failed_over, strikes=1, gap_s=1.0),
    Fault(name="pool full", strike=_pool_full, survives=ALL, gap_s=0.2, weight=0.4),
    Fault(name="pool full for long", strike=_pool_full_for_long, gap_s=0.2, weight=0.4),
    Fault(name="max_client_conn reached", strike=_no_more_clients, gap_s=0.2, weight=0.5),
    Fault(name="53300: no session free", strike=_no_more_sessions, gap_s=0.2, weight=0.5),
    Fault(name="passwords rotated under way", strike=_rotated, gap_s=0.8, weight=0.6),
    Fault(
        name="passwords rotated",
        strike=_rotated_at_rest,
        at_rest=True,
        survives=ALL,
        weight=0.5,
    ),
)
