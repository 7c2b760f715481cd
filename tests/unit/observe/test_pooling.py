"""PgBouncer's numbers as a decision: what its pools may open, and whom it cannot serve."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from broker.observe.diagnosis import diagnose
from broker.observe.pooler import Pool, Pooler
from tests.unit.observe.samples import snapshot

POOL = Pool("appdb", "appdb", "app", 20, 5, 10, 0, 0, 0, 0, 0, 0, 0.0)
POOLER = Pooler("PgBouncer 1.24.1", (POOL,), frozenset(), 2000, 10, {}, {})


def kinds(now: Pooler, before: Pooler | None = None) -> list[str]:
    """Return what two looks at a quiet server and this pooler find."""
    then = replace(snapshot(at_s=0.0), pooler=before)
    found = diagnose(replace(snapshot(at_s=1.0), pooler=now), then)
    return [finding.kind.value for finding in found]


def test_the_first_client_of_a_pool_waits_for_a_moment_and_that_is_no_finding() -> None:
    waiting = replace(POOLER, pools=(replace(POOL, clients_waiting=1, servers_logging_in=1),))
    assert kinds(waiting, POOLER) == []
    assert kinds(waiting, None) == []
    assert kinds(POOLER, waiting) == []
    assert kinds(waiting, waiting) == ["pooler_login"]


def test_clients_that_wait_for_less_than_a_second_are_no_finding() -> None:
    busy = replace(POOL, clients_waiting=3, servers_active=20)
    assert kinds(replace(POOLER, pools=(replace(busy, longest_wait_s=0.9),))) == []
    assert kinds(replace(POOLER, pools=(replace(busy, longest_wait_s=1.0),))) == ["pool_too_small"]


@given(
    st.lists(
        st.builds(
            replace,
            st.just(POOL),
            database=st.sampled_from(["a", "b"]),
            user=st.sampled_from(["x", "y"]),
            size=st.integers(1, 50),
            reserve=st.integers(0, 10),
        ),
        max_size=6,
        unique_by=lambda pool: (pool.database, pool.user),
    ),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 60)),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 60)),
)
def test_pools_may_open_no_more_than_their_sizes_and_any_limit_of_theirs(
    pools: list[Pool], by_database: dict[str, int], by_user: dict[str, int]
) -> None:
    pooler = replace(POOLER, pools=tuple(pools), max_by_database=by_database, max_by_user=by_user)
    sizes = sum(pool.size + pool.reserve for pool in pools)
    assert 0 <= pooler.may_open <= sizes
    if not any(by_database.values()) and not any(by_user.values()):
        assert pooler.may_open == sizes
    for name, limit in by_user.items():
        assert not limit or pooler.may_open_as(name) <= limit
        assert pooler.may_open_as(name) <= sum(p.most for p in pools if p.user == name)
    for name, limit in by_database.items():
        only = replace(pooler, pools=tuple(p for p in pools if p.database == name))
        assert not limit or only.may_open <= limit
