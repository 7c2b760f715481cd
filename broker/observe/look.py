"""The first step: ask a server for a Snapshot, in a read-only transaction that changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker import Broker
from broker.observe.backend import Backend
from broker.observe.snapshot import Database, Prepared, Role, Server, Snapshot
from broker.transaction import Transaction

LOCK_TIMEOUT_MS = 1_000  # the catalogue is locked by whoever rewrites it: then we wait no longer
BOUND = "select set_config('lock_timeout', :milliseconds, true)"

MADE_HERE = "made by lambda-pg-broker"  # the provisioner's comment on each role that it made

SERVER = """
select current_setting('server_version'),
       current_setting('server_version_num')::int,
       host(inet_server_addr()), inet_server_port(), pg_is_in_recovery(),
       extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8,
       current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int,
       coalesce(current_setting('reserved_connections', true), '0')::int
         + coalesce(current_setting('rds.rds_superuser_reserved_connections', true), '0')::int,
       current_setting('max_wal_senders')::int,
       pg_size_bytes(current_setting('shared_buffers')),
       pg_size_bytes(current_setting('work_mem')),
       (select setting::int from pg_settings
        where name = 'idle_in_transaction_session_timeout'),
       current_user::text,
       (select rolsuper from pg_roles where rolname = current_user),
       pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
       has_function_privilege('pg_read_file(text, bigint, bigint, boolean)', 'execute'),
       pg_backend_pid(),
       extract(epoch from coalesce(pg_stat_get_snapshot_timestamp(), clock_timestamp()))::float8,
       (select coalesce(jsonb_agg(jsonb_build_array(r.rolname, r.rolconnlimit, r.rolsuper,
                                  coalesce(pg_has_role(r.oid, x.oid, 'usage'), false),
                                  pg_has_role(r.oid, 'pg_monitor', 'member') and coalesce(
                                    shobj_description(r.oid, 'pg_authid') = :made_here, false)
                                  )), '[]')
        from pg_roles r left join pg_roles x on x.rolname = 'pg_use_reserved_connections'
        where r.rolcanlogin and (r.rolconnlimit >= 0 or r.rolsuper
                                 or coalesce(pg_has_role(r.oid, x.oid, 'usage'), false))),
       (select coalesce(jsonb_agg(jsonb_build_array(d.datname, d.datconnlimit,
                (to_jsonb(s)->>'sessions')::bigint,
                (to_jsonb(s)->>'sessions_abandoned')::bigint,
                (to_jsonb(s)->>'sessions_killed')::bigint)), '[]')
        from pg_database d left join pg_stat_database s on s.datid = d.oid),
       (select coalesce(jsonb_agg(jsonb_build_array(p.gid, p.owner, p.database,
                extract(epoch from clock_timestamp() - p.prepared)::float8)), '[]')
        from pg_prepared_xacts p)
"""
# pg_stat_get_snapshot_timestamp: until 14 what is counted is as old as the statistics' file.
# to_jsonb(s): 13 has none of these columns, and would refuse a statement that names them.

# pg_blocking_pids locks the lock table, so only for those that do wait for a lock.
ACTIVITY = """
select pid, backend_type, usename, datname, coalesce(application_name, ''),
       coalesce(host(client_addr), ''), state,
       extract(epoch from clock_timestamp() - backend_start)::float8,
       extract(epoch from clock_timestamp() - xact_start)::float8,
       extract(epoch from clock_timestamp() - query_start)::float8,
       extract(epoch from clock_timestamp() - state_change)::float8,
       wait_event_type,
       case when wait_event_type = 'Lock' then pg_blocking_pids(pid) end,
       left(coalesce(query, ''), 240)
from pg_stat_activity
"""

MEMORY_FILES = ("/proc/meminfo", "/sys/fs/cgroup/memory.max")
MEMORY = "select pg_read_file(:file, 0, 4096, true)"
_TOTAL = re.compile(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)


def look(db: Broker) -> Snapshot:
    """Return what the server says now; raises what Broker.transaction raises.

    One transaction: three flights and COMMIT, two more where the machine's memory may be read.
    """
    met = db.stats().too_many_connections
    with db.transaction(read_only=True) as tx:
        tx.run(BOUND, milliseconds=str(LOCK_TIMEOUT_MS))
        [facts] = tx.run(SERVER, made_here=MADE_HERE)
        server, at_s, *listed = _server(facts)
        backends = tuple(map(Backend._make, tx.run(ACTIVITY)))
        memory_bytes = _memory(tx) if server.reads_files else None
    roles, databases, prepared = listed
    return Snapshot(
        at_s=at_s,
        server=server,
        backends=backends,
        roles=tuple(Role(*role) for role in roles),
        databases=tuple(Database(*database) for database in databases),
        prepared=tuple(Prepared(*each) for each in prepared),
        memory_bytes=memory_bytes,
        refusals=db.stats().too_many_connections - met,
    )


def _server(facts: list[Any]) -> tuple[Any, ...]:
    """Return the server, the time there, and the lists of roles, databases and prepared."""
    *told, at_s, roles, databases, prepared = facts
    return Server(*told), at_s, roles, databases, prepared


def _memory(tx: Transaction) -> int | None:
    texts: Mapping[str, str | None] = {
        file: tx.run(MEMORY, file=file).scalar() for file in MEMORY_FILES
    }
    return memory_bytes(*(texts[file] or "" for file in MEMORY_FILES))


def memory_bytes(meminfo: str, cgroup_limit: str) -> int | None:
    """Return what the server's machine, or its container, has; None where neither says it."""
    total = _TOTAL.search(meminfo)
    told = [int(total[1]) * 1024] if total else []
    if cgroup_limit.strip().isdecimal():
        told.append(int(cgroup_limit))
    return min(told, default=None)


def with_memory(snapshot: Snapshot, given_bytes: int | None) -> Snapshot:
    """Return it with the memory that somebody knows better."""
    return snapshot if given_bytes is None else replace(snapshot, memory_bytes=given_bytes)
