"""The reaper's verdicts as a decision: nobody is ended who should not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.observe.backend import Backend
from broker.observe.snapshot import Role
from broker.observe.verdict import Policy, Reason, judge
from tests.unit.observe.samples import SERVER, backend, snapshot

POLICY = Policy(("orders:*",), ("app",), ("orders:admin",), idle_s=300.0, at_most=3)

rows = st.builds(
    backend,
    pid=st.integers(1, 500),
    backend_type=st.sampled_from(["client backend", "walsender", "autovacuum worker", None]),
    user=st.sampled_from(["app", "postgres", "other", None]),
    application=st.sampled_from(["orders:7", "orders:admin", "billing", ""]),
    state=st.sampled_from(
        ["idle", "active", "idle in transaction", "idle in transaction (aborted)", None]
    ),
    state_s=st.none() | st.floats(0, 1000),
    query=st.sampled_from(["select 1", "<insufficient privilege>"]),
)


def verdicts(*found: Backend, **changes: Any) -> dict[int, Reason]:
    now = replace(snapshot(*found), roles=(Role("postgres", -1, True, True),))
    return {v.backend.pid: v.reason for v in judge(now, replace(POLICY, **changes))}


@given(st.lists(rows, max_size=40, unique_by=lambda b: b.pid))
def test_only_old_matching_clients_idle_in_transaction_are_ended_and_never_too_many(
    found: list[Backend],
) -> None:
    ending = [pid for pid, reason in verdicts(*found).items() if reason is Reason.END]
    assert len(ending) <= POLICY.at_most
    by_pid = {b.pid: b for b in found}
    for pid in ending:
        session = by_pid[pid]
        assert pid != SERVER.pid
        assert session.is_client
        assert session.user == "app"
        assert session.application == "orders:7"
        assert session.state is not None
        assert session.state.startswith("idle in transaction")
        assert (session.state_s or 0) > POLICY.idle_s


def test_the_longest_idle_go_first() -> None:
    idle = [
        backend(n, application="orders:7", state="idle in transaction", state_s=300.0 + n)
        for n in range(10, 16)
    ]
    ending = [pid for pid, reason in verdicts(*idle).items() if reason is Reason.END]
    assert ending == [15, 14, 13]


def test_ours_is_spared_even_where_it_matches() -> None:
    ours = backend(SERVER.pid, application="orders:7", state="idle in transaction", state_s=999.0)
    now = replace(snapshot(), backends=(ours,))
    assert [v.reason for v in judge(now, POLICY)] == [Reason.OWN]


def test_an_empty_policy_ends_nobody() -> None:
    idle = backend(9, application="", state="idle in transaction", state_s=9_999.0)
    assert verdicts(idle, applications=(), roles=()) == {9: Reason.OTHER_APPLICATION}


def test_another_broker_s_watchers_are_spared_whatever_the_policy_matches() -> None:
    theirs = backend(7, user="eyes", application="x", state="idle in transaction", state_s=999.0)
    everybody = Policy(("*",), ("*",), idle_s=300.0)
    for watches, reason in ((True, Reason.OWN), (False, Reason.END)):
        role = Role("eyes", 1, is_super=False, may_use_reserved=True, watches=watches)
        now = replace(snapshot(theirs), roles=(role,))
        assert [v.reason for v in judge(now, everybody)] == [reason]
