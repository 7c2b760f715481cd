"""Memory: what sessions cost, and what max_connections may be raised to."""

from __future__ import annotations

from broker.plan.deployment import Deployment, Engine
from broker.plan.draft import Draft, Limit
from broker.plan.quantity import show_bytes

SYSTEM_SHARE = 0.1  # of memory, for the kernel, its cache and the vendor's agents
BUFFERS_SHARE = 0.25  # RDS' default: {DBInstanceClassMemory/32768} pages of 8 kB
AURORA_BUFFERS_SHARE = 0.75  # Aurora's default


def raise_costs(deployment: Deployment, to: int) -> int:
    """Return the bytes that raising max_connections to `to` needs, if all come to be used."""
    more = max(0, to - deployment.database.max_connections)
    return more * deployment.database.memory_per_connection_bytes


def add_memory(draft: Draft, deployment: Deployment) -> None:
    """Write down what the worst moment costs, and refuse it where it is more than there is."""
    numbers, database = draft.numbers, deployment.database
    worst, active = int(numbers["sessions_at_worst"]), int(numbers["active_sessions"])
    each = numbers.whole(
        "memory_per_connection",
        database.memory_per_connection_bytes,
        "bytes",
        "as given, or 10 MB until `broker measure` says better",
        source="the reference: each connection costs ~10MB",
    )
    backends = numbers.whole(
        "memory_of_sessions",
        worst * each,
        "bytes",
        f"{worst} sessions × {show_bytes(each)}",
        "sessions_at_worst",
        "memory_per_connection",
    )
    work = numbers.whole(
        "memory_of_work",
        active * database.work_mem_bytes,
        "bytes",
        f"{active} active × work_mem {show_bytes(database.work_mem_bytes)}, a sort each",
        "active_sessions",
    )
    if database.memory_bytes is None:
        draft.notes.append(
            "The server's memory is not known: give database.memory, so that the plan can say "
            "what max_connections may be raised to."
        )
        return
    memory = database.memory_bytes
    share = AURORA_BUFFERS_SHARE if database.engine is Engine.AURORA else BUFFERS_SHARE
    given = database.shared_buffers_bytes
    buffers = numbers.whole(
        "shared_buffers",
        given if given is not None else int(memory * share),
        "bytes",
        "as given" if given is not None else f"{share:.0%} of memory, the platform's default",
    )
    usable = numbers.whole(
        "memory_for_sessions",
        int(memory * (1 - SYSTEM_SHARE)) - buffers - work,
        "bytes",
        f"{show_bytes(memory)} - {SYSTEM_SHARE:.0%} for the system - shared_buffers "
        f"{show_bytes(buffers)} - work {show_bytes(work)}",
        "shared_buffers",
        "memory_of_work",
    )
    numbers.whole(
        "max_connections_by_memory",
        max(0, usable) // each,
        "sessions",
        f"{show_bytes(usable)} / {show_bytes(each)}: max_connections may be raised to this",
        "memory_for_sessions",
        "memory_per_connection",
    )
    if backends > usable:
        draft.refuse(
            Limit.MEMORY,
            backends,
            usable,
            f"{worst:,} sessions × {show_bytes(each)} = {show_bytes(backends)}, but "
            f"{show_bytes(memory)} leave {show_bytes(max(0, usable))} for sessions beside "
            f"the system, shared_buffers {show_bytes(buffers)} and work {show_bytes(work)}",
        )
