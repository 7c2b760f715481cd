"""Findings as a decision: ranks, chains, names, and what each threshold lets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.observe.application import read_name
from broker.observe.backend import Backend
from broker.observe.diagnosis import RULES, diagnose, ranked
from broker.observe.finding import SHOWN, Finding, Kind, shown
from broker.observe.look import memory_bytes
from broker.observe.looked import Looked
from broker.observe.snapshot import Database, Role, Snapshot
from broker.observe.waits import chains
from broker.observe.words import age, count
from tests.unit.observe.samples import backend, snapshot

DOCS = Path(__file__).parents[3] / "docs"

backends = st.builds(
    Backend,
    pid=st.integers(2, 9999),
    backend_type=st.sampled_from(["client backend", "walsender", "autovacuum worker", None]),
    user=st.sampled_from(["app", "postgres", "standby", None]),
    database=st.sampled_from(["appdb", None]),
    application=st.sampled_from(["", "web", "orders:7", "orders:8", "'; drop", "[bold]"]),
    address=st.sampled_from(["", "10.0.0.1", "10.0.0.2"]),
    state=st.sampled_from(["idle", "active", "idle in transaction", "starting", None]),
    connected_s=st.none() | st.floats(0, 1e7),
    transaction_s=st.none() | st.floats(0, 1e7),
    query_s=st.none() | st.floats(0, 1e7),
    state_s=st.none() | st.floats(0, 1e7),
    wait_type=st.sampled_from([None, "Lock", "Client"]),
    blocked_by=st.none() | st.lists(st.integers(0, 9999), max_size=3),
    query=st.sampled_from(["", "select 1", "<insufficient privilege>"]),
)


@given(st.lists(backends, max_size=60, unique_by=lambda b: b.pid), st.integers(5, 60))
def test_whatever_the_server_says_there_is_an_answer_and_it_is_in_order(
    rows: list[Backend], limit: int
) -> None:
    """Nulls, deadlocks, hidden rows and odd names included."""
    now = replace(
        snapshot(*rows, max_connections=limit),
        roles=(Role("app", 5, False, False), Role("postgres", 1, True, True)),
        databases=(Database("appdb", 5, None, None, None),),
    )
    found = diagnose(now)
    assert found == ranked(found)
    for finding in found:
        assert finding.sentence
        assert finding.remedy
        assert finding.sessions >= 0
        assert str(finding.told())


def test_every_rule_is_asked_and_every_kind_is_documented() -> None:
    assert len(set(RULES)) == len(RULES)
    page = (DOCS / "doctor.md").read_text()
    for kind in Kind:
        assert f"`{kind.value}`" in page, kind


def test_the_rank_goes_before_the_number_of_sessions() -> None:
    def finding(kind: Kind, sessions: int) -> Finding:
        return Finding(kind, "", (), "", (), sessions)

    found = [
        finding(Kind.FULL, 99),
        finding(Kind.POOLS, 10),
        finding(Kind.SERVERLESS, 20),
        finding(Kind.ROLE_LIMIT, 1),
        finding(Kind.REFUSED, 0),
        finding(Kind.GENERATIONS, 20),
    ]
    assert [f.kind for f in ranked(found)] == [
        Kind.REFUSED,
        Kind.ROLE_LIMIT,
        Kind.SERVERLESS,
        Kind.GENERATIONS,
        Kind.POOLS,
        Kind.FULL,
    ]


@pytest.mark.parametrize(
    ("application", "base", "generation"),
    [
        ("orders:7", "orders", "7"),
        ("orders:$LATEST", "orders", "$LATEST"),
        ("api@3f9c2d1", "api", "3f9c2d1"),
        ("web/1.4.2", "web", "1.4.2"),
        ("web-v12", "web", "v12"),
        ("web-7d9f8b6c5d", "web", "7d9f8b6c5d"),
        ("web-1", "web-1", None),
        ("web-1234567", "web-1234567", None),
        ("app@10.0.0.7", "app@10.0.0.7", None),
        ("celery@worker1", "celery@worker1", None),
        ("PostgreSQL JDBC Driver", "PostgreSQL JDBC Driver", None),
        ("", "(no application_name)", None),
    ],
)
def test_a_generation_is_told_from_an_instance(
    application: str, base: str, generation: str | None
) -> None:
    assert read_name(application) == (base, generation)


@given(st.text(max_size=70))
def test_any_name_can_be_read(application: str) -> None:
    base, generation = read_name(application)
    assert base
    assert generation is None or application.endswith(generation)


def waiter(pid: int, *blockers: int) -> Backend:
    return backend(pid, blocked_by=list(blockers), wait_type="Lock")


def test_a_chain_has_one_head_and_all_behind_it() -> None:
    waiters = {b.pid: b for b in (waiter(2, 1), waiter(3, 2), waiter(4, 3, 2), waiter(9, 8))}
    assert chains(waiters) == {1: [2, 3, 4], 8: [9]}


def test_a_deadlock_has_no_head() -> None:
    assert chains({2: waiter(2, 3), 3: waiter(3, 2)}) == {}


@given(
    st.dictionaries(
        st.integers(1, 15), st.lists(st.integers(0, 20), min_size=1, max_size=3), max_size=12
    )
)
def test_nobody_heads_a_chain_and_waits_and_all_in_it_do(graph: dict[int, list[int]]) -> None:
    found = chains({pid: waiter(pid, *blockers) for pid, blockers in graph.items()})
    for root, chain in found.items():
        assert root not in graph
        assert set(chain) <= set(graph)
        assert len(set(chain)) == len(chain)
        for pid in chain:
            assert set(graph[pid]) & {root, *chain}


def test_superusers_have_no_connection_limit() -> None:
    now = replace(
        snapshot(backend(2, user="boss")),
        roles=(Role("boss", 1, is_super=True, may_use_reserved=True),),
    )
    assert diagnose(now) == []


def test_numbered_instances_are_no_deploy() -> None:
    """Four and more numbers at once count workers; two or three are versions."""

    def crowd(versions: int) -> list[str]:
        rows = [
            backend(100 + n, application=f"worker:{n % versions}", address=f"10.0.1.{n % 9}")
            for n in range(90)
        ]
        return [finding.kind.value for finding in diagnose(snapshot(*rows))]

    assert "two_generations" in crowd(2)
    assert "two_generations" in crowd(3)
    assert "two_generations" not in crowd(4)


def counted(at_s: float, sessions: int | None) -> Snapshot:
    return replace(snapshot(at_s=at_s), databases=(Database("appdb", -1, sessions, None, None),))


def test_a_counter_that_was_reset_or_is_not_there_is_no_rate() -> None:
    now, before = counted(1010.0, 500), counted(1000.0, 100)
    assert Looked(now, before).opened_per_s == 40.0
    assert Looked(before, now).opened_per_s is None
    assert Looked(now, counted(1000.0, 501)).opened_per_s is None
    assert Looked(now, counted(1000.0, None)).opened_per_s is None
    assert Looked(now, counted(1010.0, 100)).opened_per_s is None
    assert Looked(now).opened_per_s is None


@pytest.mark.parametrize(
    ("opened", "within_s", "found"),
    [
        (1, 0.01, []),  # our own
        (9, 1.0, []),
        (10, 1.0, ["serverless_without_pooler"]),
        (96, 60.0, []),  # fewer than have room
        (97, 60.0, ["serverless_without_pooler"]),
    ],
)
def test_sessions_that_come_and_go_are_a_finding_where_they_would_fill_the_server_each_minute(
    opened: int, within_s: float, found: list[str]
) -> None:
    told = diagnose(counted(1000.0 + within_s, opened), counted(1000.0, 0))
    assert [finding.kind.value for finding in told] == found


def test_the_smaller_of_machine_and_container_is_the_memory() -> None:
    meminfo = "MemTotal:        8000000 kB\nMemFree: 1 kB\n"
    assert memory_bytes(meminfo, "max\n") == 8_000_000 * 1024
    assert memory_bytes(meminfo, "1073741824\n") == 2**30
    assert memory_bytes("", "") is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "an unknown time"),
        (-1.0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (3_700, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_ages_are_said_in_their_two_largest_units(seconds: float | None, said: str) -> None:
    assert age(seconds) == said


def test_counts_are_said_with_their_noun() -> None:
    assert count(1, "address") == "1 address"
    assert count(1_200, "address") == "1,200 addresses"
    assert count(0, "session") == "0 sessions"


@given(st.integers(0, 40))
def test_evidence_is_bounded_and_says_how_much_was_left_out(lines: int) -> None:
    told = shown(range(lines), str)
    assert len(told) == min(lines, SHOWN + 1)
    if lines > SHOWN:
        assert told[-1] == f"and {lines - SHOWN} more"
