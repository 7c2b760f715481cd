"""`broker doctor`: why is it full, with the evidence and what mends it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from broker.cli.dsn import settings
from broker.cli.duration import Duration
from broker.cli.reap import any_to_end, show_verdicts
from broker.deadline import SYSTEM_CLOCK
from broker.observe.finding import Finding
from broker.observe.snapshot import Snapshot
from broker.observe.verdict import Policy, judge
from broker.observe.visit import Visit, Visitor
from broker.observe.words import age
from broker.plan.quantity import BYTES, read
from broker.settings import Flavour, Settings

FOUND = 1
PATIENCE_S = 5.0  # a full server is asked again for so long


@click.command(context_settings={"allow_extra_args": True})
@click.argument("dsn")
@click.option("--pgbouncer", metavar="ADMIN_DSN", help="PgBouncer's console: …:6432/pgbouncer.")
@click.option("--watch", type=Duration(), metavar="30s", help="Look again and again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each look.")
@click.option("--fix-idle", is_flag=True, help="Show what the reaper would end; a dry run.")
@click.option("--memory", metavar="8GiB", help="The machine's memory, where nobody may read it.")
@click.pass_context
def doctor(
    context: click.Context,
    dsn: str,
    *,
    pgbouncer: str | None,
    watch: float | None,
    as_json: bool,
    fix_idle: bool,
    memory: str | None,
) -> None:
    """Say why PostgreSQL is full: the causes, likeliest first, with evidence and remedy.

    Reads only, as a role with pg_monitor. A password may be in PGPASSWORD instead of the DSN.
    Exits 1 if there is a finding, or if the server refuses the doctor itself.
    """
    if context.args:  # click would repeat them, and they may hold a password
        raise click.UsageError("give one DSN; PgBouncer's console goes after --pgbouncer")
    visitor = Visitor(
        server=_patient(settings(dsn)),
        pooler=_patient(_console(settings(pgbouncer))) if pgbouncer else None,
        memory_bytes=_memory(memory),
        clock=SYSTEM_CLOCK,
    )
    visit = visitor.visit()
    _show(visit, as_json=as_json, fix_idle=fix_idle)
    while watch is not None:
        SYSTEM_CLOCK.sleep(watch)
        visit = visitor.visit(visit.now)
        _show(visit, as_json=as_json, fix_idle=fix_idle)
    if visit.findings:
        raise SystemExit(FOUND)


def _patient(found: Settings) -> Settings:
    return replace(found, timeout_s=PATIENCE_S, application_name="broker-doctor")


def _console(found: Settings) -> Settings:
    return replace(found, flavour=Flavour.PGBOUNCER)  # it speaks the simple protocol alone


def _memory(given: str | None) -> int | None:
    if given is None:
        return None
    try:
        return int(read(given, {unit: float(factor) for unit, factor in BYTES.items()}))
    except ValueError as error:
        raise click.UsageError(f"--memory {given!r} {error}: give for example 8GiB") from None


def _show(visit: Visit, *, as_json: bool, fix_idle: bool) -> None:
    if as_json:
        click.echo(json.dumps(told(visit)))
    else:
        click.echo("\n".join(text(visit)))
    if fix_idle and visit.now is not None and not as_json:
        verdicts = judge(visit.now, everything(visit.now))
        show_verdicts(verdicts)
        if any_to_end(verdicts):
            click.echo('End them: broker reap "$DSN" --application NAME --role ROLE --end')


def everything(now: Snapshot) -> Policy:
    """Return the policy that the reaper would need for all of them."""
    return Policy(("*",), ("*",), at_most=len(now.backends))


def told(visit: Visit) -> dict[str, Any]:
    """Return the visit as JSON has it."""
    now = visit.now
    return {
        "server": None
        if now is None
        else {
            "version": now.server.version,
            "address": now.server.address,
            "port": now.server.port,
            "in_recovery": now.server.in_recovery,
            "up_s": now.server.up_s,
            "max_connections": now.server.max_connections,
            "reserved": now.server.max_connections - now.server.ordinary_limit,
            "sessions": now.taken,
            "refusals": now.refusals,
        },
        "findings": [finding.told() for finding in visit.findings],
        "unseen": visit.unseen,
    }


def text(visit: Visit) -> list[str]:
    """Return the visit as people read it."""
    lines = [] if visit.now is None else [headline(visit.now)]
    if visit.now is not None and visit.now.refusals:
        lines.append(
            f"It refused the doctor {visit.now.refusals} times (53300) before it let it in."
        )
    if not visit.findings:
        lines.append("No finding: nothing here explains a 53300.")
    for number, finding in enumerate(visit.findings, start=1):
        lines += ["", *_paragraph(number, finding)]
    if visit.unseen:
        lines += ["", "Not seen:", *(f"  - {spot}" for spot in visit.unseen)]
    return lines


def headline(now: Snapshot) -> str:
    """Return which server this is, and how full."""
    server = now.server
    where = f"{server.address}:{server.port}" if server.address else "a Unix socket"
    role = "a replica, " if server.in_recovery else ""
    reserved = server.max_connections - server.ordinary_limit
    return (
        f"PostgreSQL {server.version} at {where}, {role}up {age(server.up_s)}: {now.taken} of "
        f"{server.max_connections} sessions ({now.taken_share:.0%}, ours not counted), {reserved} "
        "reserved"
    )


def _paragraph(number: int, finding: Finding) -> list[str]:
    return [
        f"{number}. {finding.kind.title} [{finding.kind.value}]",
        f"   {finding.sentence}",
        *(f"   - {line}" for line in finding.evidence),
        f"   Remedy: {finding.remedy}",
        *(f"   Apply:  {line}" for line in finding.apply),
    ]
