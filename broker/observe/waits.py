"""Waits: transactions that stay open, and who waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from broker.observe.backend import Backend
from broker.observe.finding import Finding, Kind, literal, shown
from broker.observe.looked import Looked
from broker.observe.words import age, count

PREPARED = 0  # pg_blocking_pids' pid of a prepared transaction

IDLE_REMEDY = (
    "Find where the application forgets to commit or roll back, and let PostgreSQL end such "
    "sessions by itself (idle_in_transaction_session_timeout). `broker reap` ends the old ones now."
)
LONG_REMEDY = (
    "Make the transaction shorter, or bound it with statement_timeout: it keeps its place and its "
    "locks, and vacuum cannot remove what has died since it began."
)
BLOCKED_REMEDY = "End the transaction at the head of the chain; those behind it then go on."
PREPARED_REMEDY = (
    "Commit it or roll it back, as its transaction manager would have: it has no session that "
    "could be ended, keeps its locks, and survives a restart."
)


def idle_in_transaction(looked: Looked) -> Iterator[Finding]:
    """Yield a finding where sessions idle in transaction for long, or many at once."""
    limits, now = looked.thresholds, looked.now
    idle = [b for b in now.others if b.idles_in_transaction and b.state_s is not None]
    old = [b for b in idle if (b.state_s or 0.0) >= limits.idle_in_transaction_s]
    many = [b for b in idle if (b.state_s or 0.0) >= limits.pause_s]
    if looked.pressed and len(many) >= limits.idle_in_transaction_share * now.server.ordinary_limit:
        old = many
    if not old:
        return
    old.sort(key=lambda b: -(b.state_s or 0.0))
    never = now.server.idle_in_transaction_timeout_ms == 0
    roles = sorted({b.user for b in old if b.user})
    yield Finding(
        Kind.IDLE_IN_TRANSACTION,
        f"{count(len(old), 'session')} with a transaction open and nobody at work in it, the "
        f"oldest for {age(old[0].state_s)}.",
        shown(
            [f"{b}, idle for {age(b.state_s)} after: {b.shown_query}" for b in old], "more sessions"
        )
        + (("idle_in_transaction_session_timeout is 0: PostgreSQL never ends them",) * never),
        IDLE_REMEDY,
        (
            *(
                f"alter role \"{role}\" set idle_in_transaction_session_timeout = '60s';"
                for role in roles
            ),
            f"select pg_terminate_backend({old[0].pid});",
        ),
        len(old),
    )


def long_transactions(looked: Looked) -> Iterator[Finding]:
    """Yield a finding where a transaction works, or is said to, for minutes."""
    limits = looked.thresholds
    long = [
        b
        for b in looked.now.others
        if not b.idles_in_transaction and (b.transaction_s or 0.0) >= limits.long_transaction_s
    ]
    if not long:
        return
    long.sort(key=lambda b: -(b.transaction_s or 0.0))
    yield Finding(
        Kind.LONG_TRANSACTION,
        f"{count(len(long), 'transaction')} of more than {age(limits.long_transaction_s)}, the "
        f"longest for {age(long[0].transaction_s)}.",
        shown([f"{b}, {b.state} for {age(b.transaction_s)}: {b.shown_query}" for b in long]),
        LONG_REMEDY,
        (f"select pg_cancel_backend({long[0].pid});",),
        len(long),
    )


def blocked(looked: Looked) -> Iterator[Finding]:
    """Yield a finding for each session at the head of a chain of those that wait for its locks."""
    limits = looked.thresholds
    waiters = {b.pid: b for b in looked.now.others if b.blocked_by}
    for root, chain in chains(waiters).items():
        longest_s = max(waiters[pid].query_s or 0.0 for pid in chain)
        if longest_s < limits.blocked_s and len(chain) < limits.pile_up:
            continue
        head = next((b for b in looked.now.backends if b.pid == root), None)
        yield Finding(
            Kind.BLOCKED,
            f"{_who(head, root)}, is waited for by {count(len(chain), 'session')}, the longest for "
            f"{age(longest_s)}.",
            (
                *((f"it is {head.state}: {head.shown_query}",) if head else ()),
                *shown(
                    [
                        f"{waiters[pid]} waits for {_pids(waiters[pid].blocked_by)}: "
                        f"{waiters[pid].shown_query}"
                        for pid in chain
                    ],
                    "more waiters",
                ),
            ),
            BLOCKED_REMEDY,
            _unblock(root, looked),
            len(chain) + (head is not None),
        )


def prepared(looked: Looked) -> Iterator[Finding]:
    """Yield a finding where prepared transactions were left behind."""
    old = [p for p in looked.now.prepared if p.age_s >= looked.thresholds.prepared_s]
    if not old:
        return
    old.sort(key=lambda p: -p.age_s)
    yield Finding(
        Kind.PREPARED,
        f"{count(len(old), 'prepared transaction')}, the oldest {age(old[0].age_s)} old, which no "
        "session shows.",
        shown([f"{p.gid} of {p.owner} on {p.database}, {age(p.age_s)} old" for p in old]),
        PREPARED_REMEDY,
        tuple(f"rollback prepared {literal(p.gid)};" for p in old[:3]),
    )


def chains(waiters: dict[int, Backend]) -> dict[int, list[int]]:
    """Return, for each pid that blocks and waits for none, who waits for it, also through others.

    The nearest come first. A deadlock has no head; the server itself ends it within a second.
    """
    behind: dict[int, list[int]] = {}
    for pid, waiter in waiters.items():
        for blocker in dict.fromkeys(waiter.blocked_by or ()):
            behind.setdefault(blocker, []).append(pid)
    found = {}
    for root in behind.keys() - waiters.keys():
        seen: dict[int, None] = {}
        queue = deque(behind[root])
        while queue:
            pid = queue.popleft()
            if pid not in seen:
                seen[pid] = None
                queue.extend(behind.get(pid, ()))
        found[root] = list(seen)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _who(head: Backend | None, root: int) -> str:
    if head is not None:
        return f"P{str(head)[1:]}, in a transaction for {age(head.transaction_s)}"
    return "A prepared transaction" if root == PREPARED else f"Pid {root}"


def _pids(blockers: list[int] | None) -> str:
    names = ("a prepared transaction" if pid == PREPARED else str(pid) for pid in blockers or ())
    return ", ".join(dict.fromkeys(names))


def _unblock(root: int, looked: Looked) -> tuple[str, ...]:
    if root != PREPARED:
        return (f"select pg_terminate_backend({root});",)
    return tuple(f"rollback prepared {literal(p.gid)};" for p in looked.now.prepared[:3])
