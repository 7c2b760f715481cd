"""`broker render`: pgbouncer.ini and userlist.txt's template."""

from __future__ import annotations

from pathlib import Path

import click

from broker.cli.plan import EXTRA, FILE, REFUSED, refuse_extra
from broker.pgbouncer import Hosting, render_ini, render_userlist
from broker.plan import DoesNotFit, make_plan, read

DEFAULT = Hosting()


@click.command(context_settings=EXTRA)
@FILE
@click.option("--host", default=DEFAULT.host, show_default=True, help="The database's host.")
@click.option("--port", type=int, default=DEFAULT.port, show_default=True)
@click.option("--listen-port", type=int, default=DEFAULT.listen_port, show_default=True)
@click.option("--process", type=int, default=1, show_default=True, help="Of the processes, which.")
@click.option("--directory", default=DEFAULT.directory, show_default=True, help="PgBouncer's own.")
@click.option("--sockets", default=DEFAULT.sockets, show_default=True, help="Of each process: /1 …")
@click.option("--server-ca", default=DEFAULT.server_ca, show_default=True, help="'off' is no TLS.")
@click.option("--client-certificate", default=DEFAULT.client_certificate, show_default=True)
@click.option("--client-key", default=DEFAULT.client_key, show_default=True)
@click.option("--admin", help="Who may use the console over TCP; nobody if left out.")
@click.option("--userlist", is_flag=True, help="Print userlist.txt's template instead.")
def render(
    file: Path,
    *,
    host: str,
    port: int,
    listen_port: int,
    process: int,
    directory: str,
    sockets: str,
    server_ca: str,
    client_certificate: str,
    client_key: str,
    admin: str | None,
    userlist: bool,
) -> None:
    """Print pgbouncer.ini with the plan's numbers and the reasons for them.

    'off' for the server's CA, or for the client's certificate and key, is plaintext there.
    Exits 1 if the deployment does not fit.
    """
    refuse_extra()
    hosting = Hosting(
        host=host,
        port=port,
        listen_port=listen_port,
        directory=directory,
        sockets=sockets,
        server_ca=_unless_off(server_ca),
        client_certificate=_unless_off(client_certificate),
        client_key=_unless_off(client_key),
        admin=admin,
    )
    try:
        plan = make_plan(read(file))
    except DoesNotFit as refusal:
        click.echo(str(refusal), err=True)
        raise SystemExit(REFUSED) from None
    text = (
        render_userlist(plan, hosting) if userlist else render_ini(plan, hosting, process=process)
    )
    click.echo(text, nl=False)


def _unless_off(text: str) -> str | None:
    return None if text == "off" else text
