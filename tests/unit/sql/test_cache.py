"""What is kept is bounded by bytes, and what is used stays."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from broker.dbapi.control import control
from broker.sql.cache import LARGEST_SHARE, Cache
from broker.sql.lexer import Style
from broker.sql.script import split
from broker.sql.statement import KEPT_BYTES, compile


def of_sizes(max_bytes: int) -> Cache[int, int]:
    """Return a cache whose values are their sizes."""
    return Cache(max_bytes, lambda _, size: size)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30), st.booleans())))
def test_it_never_holds_more_than_its_bytes(steps: list[tuple[int, int, bool]]) -> None:
    kept: Cache[int, tuple[int, int]] = Cache(100, lambda _, value: value[1])
    for key, size, keeps in steps:
        if keeps:
            kept.keep(key, (key, size))
        else:
            found = kept.get(key)
            assert found is None or found[0] == key
        held = [kept.get(each) for each in range(10) if kept.get(each)]
        assert sum(size for _, size in filter(None, held)) <= 100


def test_what_is_used_again_stays_while_others_come_and_go() -> None:
    kept = of_sizes(1000)
    kept.keep(-1, 10)
    for key in range(1000):
        kept.keep(key, 10)
        assert kept.get(-1) == 10
    assert kept.get(0) is None
    assert kept.get(999) == 10


def test_what_is_larger_than_its_share_displaces_nothing() -> None:
    kept = of_sizes(800)
    kept.keep(1, 10)
    kept.keep(2, 800 // LARGEST_SHARE + 1)
    assert (kept.get(1), kept.get(2), len(kept)) == (10, None, 1)


def test_threads_may_share_it() -> None:
    kept = of_sizes(500)

    def use(start: int) -> None:
        for step in range(3000):
            key = (start + step) % 97 + 1
            found = kept.get(key)
            assert found in (None, key % 7 + 1)
            if found is None:
                kept.keep(key, key % 7 + 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(0, 97, 25)))


def test_many_long_texts_leave_little_behind() -> None:
    """Of a hundred texts of 200 kB, no more stays than what the caches may hold."""
    padding = "x" * 200_000
    tracemalloc.start()
    try:
        for number in range(100):
            compile(f"select '{padding}', {number}")
            compile(f"select '{padding}', {number}", Style.NUMERIC_DOLLAR)
            split(f"select '{padding}'; select {number}")
            control(f"select '{padding}', {number}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * KEPT_BYTES
