"""Live: what a running server says of itself, as far as the plan has an opinion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Run = Callable[..., list[list[Any]]]

SETTINGS = """
    select name, setting::bigint * case unit when '8kB' then 8192 when 'kB' then 1024 else 1 end
    from pg_settings
    where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
                   'rds.rds_superuser_reserved_connections', 'shared_buffers', 'work_mem')
"""
ROLE = "select rolconnlimit from pg_roles where rolname = :role"


@dataclass(frozen=True, slots=True)
class Live:
    """`role_limits` is CONNECTION LIMIT by role: -1 is none set, None is no such role."""

    max_connections: int
    superuser_reserved: int
    reserved: int
    shared_buffers_bytes: int
    work_mem_bytes: int
    role_limits: Mapping[str, int | None]


def look(run: Run, roles: Iterable[str] = ()) -> Live:
    """Ask the server; `run(sql, **params)` returns rows."""
    found = {str(name): int(value) for name, value in run(SETTINGS)}
    limits: dict[str, int | None] = {}
    for role in roles:
        rows = run(ROLE, role=role)
        limits[role] = int(rows[0][0]) if rows else None
    return Live(
        max_connections=found["max_connections"],
        superuser_reserved=found["superuser_reserved_connections"],
        reserved=found.get("reserved_connections", 0)
        + found.get("rds.rds_superuser_reserved_connections", 0),
        shared_buffers_bytes=found["shared_buffers"],
        work_mem_bytes=found["work_mem"],
        role_limits=limits,
    )
