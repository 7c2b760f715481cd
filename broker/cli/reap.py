"""`broker reap`: end sessions that idle in transaction, and only those."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from broker.cli.dsn import connected, settings
from broker.cli.duration import Duration
from broker.observe.diagnosis import hidden_sessions
from broker.observe.look import look
from broker.observe.reaper import reap as carry_out
from broker.observe.verdict import AT_MOST, IDLE_S, Policy, Reason, Verdict, judge
from broker.observe.words import age

LEFT = 1


@click.command(context_settings={"allow_extra_args": True})
@click.argument("dsn")
@click.option("--application", multiple=True, metavar="NAME", help="Only these; * and ? match.")
@click.option("--role", multiple=True, metavar="ROLE", help="Only these; * and ? match.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Never of this application or role.")
@click.option(
    "--older-than", "idle_s", type=Duration(), default=IDLE_S, metavar="5min", help="Idle for more."
)
@click.option("--at-most", type=click.IntRange(1), default=AT_MOST, show_default=True)
@click.option("--end", is_flag=True, help="End them; without it nothing is ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.pass_context
def reap(
    context: click.Context,
    dsn: str,
    *,
    application: tuple[str, ...],
    role: tuple[str, ...],
    exclude: tuple[str, ...],
    idle_s: float,
    at_most: int,
    end: bool,
    as_json: bool,
) -> None:
    """End sessions that have been idle in transaction for too long; a dry run without --end.

    The role needs pg_monitor to see them, and pg_signal_backend to end them. Exits 1 if any is
    left that the policy would end.
    """
    if context.args:  # click would repeat them, and they may hold a password
        raise click.UsageError("give one DSN")
    if end and not (application and role):
        raise click.UsageError(
            "--end needs --application and --role: sessions of others are not to be ended"
        )
    policy = Policy(application or ("*",), role or ("*",), exclude, idle_s, at_most)
    with connected(replace(settings(dsn), application_name="broker-reaper")) as db:
        now = look(db)
        verdicts = judge(now, policy)
        if end:
            verdicts = carry_out(db, verdicts, policy)
    if as_json:
        click.echo(json.dumps([told(verdict) for verdict in verdicts], indent=2))
    else:
        show_verdicts(verdicts)
        if any_to_end(verdicts):
            click.echo(f"Nothing was ended. To end them, add {_missing(application, role)}")
    for spot in hidden_sessions(now):
        click.echo(f"Not seen: {spot}", err=True)
    left = (Reason.END, Reason.NOT_ALLOWED, Reason.OVER_THE_MOST)
    if any(verdict.reason in left for verdict in verdicts):
        raise SystemExit(LEFT)


def told(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as JSON has it."""
    backend = verdict.backend
    return {
        "verdict": verdict.reason.value,
        "pid": backend.pid,
        "application": backend.application,
        "role": backend.user,
        "database": backend.database,
        "address": backend.address,
        "idle_s": backend.state_s,
        "transaction_s": backend.transaction_s,
        "query": backend.shown_query,
    }


def any_to_end(verdicts: Sequence[Verdict]) -> bool:
    """Tell whether one of them waits to be ended: there is none after --end."""
    return any(verdict.reason is Reason.END for verdict in verdicts)


def _missing(application: Sequence[str], role: Sequence[str]) -> str:
    needed = {"--application NAME": not application, "--role ROLE": not role, "--end": True}
    return " ".join(option for option, missing in needed.items() if missing)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a line for each."""
    if not verdicts:
        click.echo("No session is idle in transaction.")
    for verdict in verdicts:
        backend = verdict.backend
        click.echo(
            f"{verdict.reason.value}: {backend}, idle in transaction for {age(backend.state_s)} "
            f"after: {backend.shown_query}"
        )
