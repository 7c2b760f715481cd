"""Drift: where a live server is not what the plan counts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from broker.plan.live import Live
from broker.plan.plan import Plan
from broker.plan.quantity import SECONDS, read, show_bytes

NO_LIMIT = -1  # pg_roles.rolconnlimit
ROLE_TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
"""The plan's numbers that each role has as its default, in seconds."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One number that differs, as people read it, and what to do about it."""

    name: str
    planned: str
    live: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: planned {self.planned}, the server has {self.live}. {self.remedy}"

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def compare(plan: Plan, live: Live) -> list[Drift]:
    """Return every number of the server that is not the plan's."""
    return [
        *_connections(plan, live),
        *_roles(plan, live),
        *_timeouts(plan, live),
        *_memory(plan, live),
    ]


def _connections(plan: Plan, live: Live) -> list[Drift]:
    reserved = {reserve: _reserved(plan, reserve) for reserve in ("superuser", "rds")}
    found = [
        (
            "max_connections",
            plan.whole("max_connections"),
            live.max_connections,
            f"Set database.max_connections = {live.max_connections} and plan again, or change "
            "the server's (it takes a restart).",
        ),
        (
            "superuser_reserved_connections",
            reserved["superuser"],
            live.superuser_reserved,
            f'Give [[reserved]] name = "superuser", sessions = {live.superuser_reserved}.',
        ),
        (
            "reserved_connections",
            reserved["rds"],
            live.reserved,
            f'Give [[reserved]] name = "rds", sessions = {live.reserved}.',
        ),
    ]
    return [
        Drift(name, str(planned), str(there), remedy)
        for name, planned, there, remedy in found
        if planned != there
    ]


def _reserved(plan: Plan, name: str) -> int:
    return plan.whole(f"reserved.{name}") if f"reserved.{name}" in plan else 0


def _roles(plan: Plan, live: Live) -> list[Drift]:
    found = []
    for role in sorted({pair.user for pair in plan.deployment.middle.pairs}):
        planned, there = plan.whole(f"connection_limit.{role}"), live.role_limits.get(role)
        if there is None:
            remedy = f"Create it: create role {role} login connection limit {planned}."
            found.append(Drift(f"role {role}", f"limit {planned}", "no such role", remedy))
        elif there != planned:
            shown = "none" if there == NO_LIMIT else str(there)
            remedy = f'Run: alter role "{role}" connection limit {planned};'
            found.append(Drift(f"connection limit of {role}", str(planned), shown, remedy))
    return found


def _timeouts(plan: Plan, live: Live) -> Iterator[Drift]:
    """Yield each pair's time-outs that differ, where the role is there at all."""
    for pair, defaults in live.role_defaults.items():
        for name in ROLE_TIMEOUTS if live.role_limits.get(pair.user) is not None else ():
            planned, there = plan.whole(name), defaults.get(name)
            if there is None or _seconds(there) != planned:
                # In the database, since what was set there goes over the role's own.
                remedy = (
                    f'Run: alter role "{pair.user}" in database "{pair.database}" '
                    f"set {name} = '{planned}s';"
                )
                yield Drift(f"{name} of {pair}", f"{planned} s", there or "none", remedy)


def _seconds(setting: str) -> float:
    """Return a time as `alter role` was given it: with a unit, or in milliseconds."""
    bare = setting.strip().isdecimal()
    return int(setting) / 1000 if bare else read(setting, {**SECONDS, "d": 86_400.0})


def _memory(plan: Plan, live: Live) -> list[Drift]:
    database = plan.deployment.database
    found = []
    if "shared_buffers" in plan:
        planned, there = plan.whole("shared_buffers"), live.shared_buffers_bytes
        # A default that was assumed must only not be below the truth; what was given must be it.
        assumed = database.shared_buffers_bytes is None
        if there > planned or (there != planned and not assumed):
            remedy = f'Set database.shared_buffers = "{there} B" and plan again.'
            found.append(Drift("shared_buffers", show_bytes(planned), show_bytes(there), remedy))
    if live.work_mem_bytes != database.work_mem_bytes:
        planned, there = database.work_mem_bytes, live.work_mem_bytes
        remedy = f'Set database.work_mem = "{there} B" and plan again.'
        found.append(Drift("work_mem", show_bytes(planned), show_bytes(there), remedy))
    return found
