"""Snapshots made by hand, for what a test decides without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from broker.observe.backend import Backend
from broker.observe.snapshot import Server, Snapshot

SERVER = Server(
    version="18.6",
    version_number=180006,
    address="10.0.0.9",
    port=5432,
    in_recovery=False,
    up_s=86_400.0,
    max_connections=100,
    superuser_reserved=3,
    reserved=0,
    max_wal_senders=10,
    shared_buffers_bytes=128 * 2**20,
    work_mem_bytes=4 * 2**20,
    idle_in_transaction_timeout_ms=0,
    user="watcher",
    user_is_super=False,
    sees_all=True,
    reads_files=False,
    pid=1,
)


def backend(pid: int, **changes: Any) -> Backend:
    """Return a session that idles, with these changes."""
    return Backend(
        pid=pid,
        backend_type="client backend",
        user="app",
        database="appdb",
        application="web",
        address="10.0.0.1",
        state="idle",
        connected_s=10_000.0,
        transaction_s=None,
        query_s=5.0,
        state_s=5.0,
        wait_type="Client",
        blocked_by=None,
        query="select 1",
    )._replace(**changes)


def snapshot(*backends: Backend, at_s: float = 1e9, **changes: Any) -> Snapshot:
    """Return a snapshot of these sessions, and of ours; changes are the server's."""
    ours = backend(SERVER.pid, user="watcher", application="broker-doctor")
    return Snapshot(at_s, replace(SERVER, **changes), (ours, *backends))
