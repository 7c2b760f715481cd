"""`broker measure`: what a backend costs there, and what max_connections really is."""

from __future__ import annotations

import json
from typing import Any

import click

from broker.cli.dsn import opened
from broker.plan.footprint import Footprint
from broker.plan.footprint import measure as measure_footprint
from broker.plan.live import Live, look
from broker.plan.quantity import show_bytes


@click.command(context_settings={"allow_extra_args": True})
@click.argument("dsn")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def measure(context: click.Context, dsn: str, *, as_json: bool) -> None:
    """Measure what a backend costs on this server, and read its limits, for broker.toml.

    A password may be in PGPASSWORD instead of the DSN.
    """
    if context.args:  # click would repeat them, and they may hold a password
        raise click.UsageError("give one DSN")
    with opened(dsn) as run:
        live, footprint = look(run), measure_footprint(run)
    if as_json:
        click.echo(json.dumps(told(live, footprint), indent=2))
        return
    click.echo(f"max_connections = {live.max_connections}")
    click.echo(f"superuser_reserved_connections = {live.superuser_reserved}")
    click.echo(f"reserved_connections = {live.reserved}")
    click.echo(f"shared_buffers = {show_bytes(live.shared_buffers_bytes)}")
    click.echo(f"work_mem = {show_bytes(live.work_mem_bytes)}")
    size = "unknown" if footprint.largest_bytes is None else show_bytes(footprint.largest_bytes)
    click.echo(f"memory_per_connection = {size} ({footprint.how}; {footprint.backends} seen)")


def told(live: Live, footprint: Footprint) -> dict[str, Any]:
    """Return both as JSON has them; sizes in bytes."""
    return {
        "max_connections": live.max_connections,
        "superuser_reserved_connections": live.superuser_reserved,
        "reserved_connections": live.reserved,
        "shared_buffers_bytes": live.shared_buffers_bytes,
        "work_mem_bytes": live.work_mem_bytes,
        "memory_per_connection_bytes": footprint.largest_bytes,
        "memory_per_connection_how": footprint.how,
        "backends_seen": footprint.backends,
    }
