"""A broker.toml of each flavour, as it is first and as it is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker.plan import Plan, make_plan, read
from broker.plan.deployment import Flavour, Kind

TEXT = Path(__file__).with_name("deployment.toml").read_text()
INSTANCE = 'engine = "rds-postgresql"\ninstance = "db.m7g.large"\nmax_connections = 400'
CLUSTER = 'engine = "aurora-postgresql"\ninstance = "serverless"\nmax_acu = 8\nmin_acu = 1'


@dataclass(frozen=True)
class Variant:
    """One broker.toml: its file, and the plan of it."""

    path: Path
    plan: Plan


@dataclass(frozen=True)
class Numbers:
    """What tells the first from the changed one."""

    of_the_flavour: str
    timeout_s: int


DATABASE = {
    Flavour.DIRECT: (INSTANCE, "[deploy.vpc]\nnat = true"),
    Flavour.PGBOUNCER: (INSTANCE, ""),
    Flavour.RDS_PROXY: (CLUSTER, "readers = 1"),
}
FIRST = {
    Flavour.DIRECT: Numbers("cap = 100", 30),
    Flavour.PGBOUNCER: Numbers("active_sessions = 40", 30),
    Flavour.RDS_PROXY: Numbers("proxy_minimum_percent = 10", 30),
}
CHANGED = {
    Flavour.DIRECT: Numbers("cap = 90", 20),
    Flavour.PGBOUNCER: Numbers("active_sessions = 30", 20),
    Flavour.RDS_PROXY: Numbers("proxy_minimum_percent = 12", 20),
}


def functions_of(plan: Plan) -> list[str]:
    """Return the names of the plan's functions."""
    return [each.name for each in plan.deployment.applications if each.kind is Kind.FUNCTION]


def write(flavour: Flavour, numbers: Numbers, path: Path) -> Variant:
    """Write it to the path, and plan it."""
    database, deploy = DATABASE[flavour]
    path.write_text(
        TEXT.format(
            flavour=flavour.value,
            database=database,
            deploy=deploy,
            numbers=numbers.of_the_flavour,
            timeout_s=numbers.timeout_s,
        )
    )
    return Variant(path, make_plan(read(path)))
