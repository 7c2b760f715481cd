"""Live: what a running server says of itself, as far as the plan has an opinion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.plan.deployment import Pair

Run = Callable[..., list[list[Any]]]

SETTINGS = """
    select name, setting::bigint * case unit when '8kB' then 8192 when 'kB' then 1024 else 1 end
    from pg_settings
    where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
                   'rds.rds_superuser_reserved_connections', 'shared_buffers', 'work_mem')
"""
ROLE = "select rolconnlimit from pg_roles where rolname = :role"
# What `alter role … [in database …] set` left; the database's own word goes over the role's.
ROLE_DEFAULTS = """
    select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
    from pg_db_role_setting s
    join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    cross join unnest(s.setconfig) setting
    where r.rolname = :role and (s.setdatabase = 0 or d.datname = :database)
    order by s.setdatabase = 0 desc
"""


@dataclass(frozen=True, slots=True)
class Live:
    """`role_limits` is CONNECTION LIMIT by role: -1 is none set, None is no such role.

    `role_defaults` are each pair's own settings, as `alter role` left them.
    """

    max_connections: int
    superuser_reserved: int
    reserved: int
    shared_buffers_bytes: int
    work_mem_bytes: int
    role_limits: Mapping[str, int | None]
    role_defaults: Mapping[Pair, Mapping[str, str]]


def look(run: Run, pairs: Iterable[Pair] = ()) -> Live:
    """Ask the server; `run(sql, **params)` returns rows."""
    found = {str(name): int(value) for name, value in run(SETTINGS)}
    limits: dict[str, int | None] = {}
    defaults: dict[Pair, Mapping[str, str]] = {}
    for pair in pairs:
        rows = run(ROLE, role=pair.user)
        limits[pair.user] = int(rows[0][0]) if rows else None
        defaults[pair] = dict(run(ROLE_DEFAULTS, role=pair.user, database=pair.database))
    return Live(
        max_connections=found["max_connections"],
        superuser_reserved=found["superuser_reserved_connections"],
        reserved=found.get("reserved_connections", 0)
        + found.get("rds.rds_superuser_reserved_connections", 0),
        shared_buffers_bytes=found["shared_buffers"],
        work_mem_bytes=found["work_mem"],
        role_limits=limits,
        role_defaults=defaults,
    )
