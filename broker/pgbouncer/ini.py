"""Plan → pgbouncer.ini, with the plan's reasons beside its numbers, and userlist.txt's template.

The same plan and hosting give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from broker.errors import UsageError
from broker.plan import Plan
from broker.plan.deployment import Flavour

Line = tuple[str, str, str]  # key, value, why
PLACEHOLDER = "the SCRAM secret or the password of {user}"
USERLIST_HEAD = """\
; A line a user. A SCRAM secret spares PgBouncer to derive it at each login. For who logs in at the
; server too it must be the server's own (pg_authid.rolpassword); the plain password does as well.
"""


@dataclass(frozen=True, slots=True)
class Hosting:
    """Where the pooler runs: hosts, files and TLS, which the plan does not decide.

    The defaults are the image's. `directory` is PgBouncer's own: userlist.txt is there. `sockets`
    has a folder for each process' socket (1, 2, …), apart from the secrets, so that it can be lent
    to who may ask the console. `server_ca` None turns TLS to the server off,
    `client_certificate` None TLS from clients. `admin` is a user of the userlist who may use the
    console over TCP; without one it answers on the socket alone, to PgBouncer's own account.
    """

    host: str = "db.internal"
    port: int = 5432
    listen_host: str = "*"
    listen_port: int = 6432
    directory: str = "/run/pgbouncer"
    sockets: str = "/run/pgbouncer-sockets"
    server_ca: str | None = "/opt/pgbouncer/rds-ca.pem"
    client_certificate: str | None = "/run/pgbouncer/server.crt"
    client_key: str | None = "/run/pgbouncer/server.key"
    admin: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, str) and not _plain(value):
                raise UsageError(
                    f"{each.name}={value!r}: pgbouncer.ini has no place for it; use letters, "
                    "digits and . : / _ - * only"
                )
            if isinstance(value, int) and not 0 < value < 65536:
                raise UsageError(f"{each.name}={value}: a port is between 1 and 65535")
        if (self.client_certificate is None) != (self.client_key is None):
            raise UsageError("client_certificate and client_key need each other: give both")

    def sockets_of(self, process: int) -> str:
        """Return the folder of a process' socket; it must exist, for PgBouncer's account alone."""
        return f"{self.sockets}/{process}"


def render_ini(plan: Plan, hosting: Hosting | None = None, *, process: int = 1) -> str:
    """Return pgbouncer.ini for one of a task's processes, counted from 1."""
    hosting = hosting or Hosting()
    middle = plan.deployment.middle
    if middle.flavour is not Flavour.PGBOUNCER:
        raise UsageError(
            f'{plan.deployment.file}: there is nothing to render: only flavour = "pgbouncer" has a '
            f'pgbouncer.ini, and broker.flavour is "{middle.flavour.value}"'
        )
    if not 1 <= process <= middle.processes:
        raise UsageError(
            f"process {process}: the plan has broker.processes = {middle.processes}, "
            f"so give 1 to {middle.processes}"
        )
    return "".join(f"{line}\n" for line in _lines(plan, hosting, process))


def render_userlist(plan: Plan, hosting: Hosting | None = None) -> str:
    """Return userlist.txt with a placeholder for each secret; it holds none itself."""
    middle, admin = plan.deployment.middle, (hosting or Hosting()).admin
    users = {pair.user for pair in middle.pairs}
    clients = {middle.client(pair) for pair in middle.pairs} - users
    names = [*sorted(clients), *sorted(users), *([admin] if admin else [])]
    return USERLIST_HEAD + "".join(
        f'"{name}" "{PLACEHOLDER.format(user=name)}"\n' for name in names
    )


def _plain(text: str) -> bool:
    return bool(text) and text.isascii() and all(c.isalnum() or c in ".:/_-*" for c in text)


def _lines(plan: Plan, hosting: Hosting, process: int) -> Iterator[str]:
    worst, limit = plan["sessions_at_worst"], plan["max_connections"]
    yield "; Written by `broker render`: change broker.toml, not this file."
    yield f"; At the worst moment {worst} of max_connections {limit}: {worst.how}."
    yield ""
    yield "[databases]"
    yield from _databases(plan, hosting)
    yield ""
    yield "[users]"
    for user in sorted({pair.user for pair in plan.deployment.middle.pairs}):
        most = plan[f"max_user_connections.{user}"]
        yield f"; max_user_connections: {most.how}"
        yield f"{user} = max_user_connections={plan.whole(most.name)}"
    yield ""
    if plan.deployment.middle.processes > 1:
        yield "[peers]"
        yield "; a cancel request that reaches another process finds its way"
        for number in range(1, plan.deployment.middle.processes + 1):
            yield f"{number} = host={hosting.sockets_of(number)} port={hosting.listen_port}"
        yield ""
    yield "[pgbouncer]"
    for key, value, why in [
        *_planned(plan),
        *_fixed(),
        *_hosted(hosting),
        *_of_the_process(plan, hosting, process),
    ]:
        yield f"; {why}"
        yield f"{key} = {value}"


def _databases(plan: Plan, hosting: Hosting) -> Iterator[str]:
    middle = plan.deployment.middle
    for pair in sorted({pair.database: pair for pair in middle.pairs}.values()):
        most = plan[f"max_db_connections.{pair.database}"]
        role = ""
        if middle.has_client_names:
            yield f"; user: clients log in here as {middle.client(pair)}, unknown to the server"
            role = f"user={pair.user} "
        yield f"; max_db_connections: {most.how}"
        yield (
            f"{pair.database} = host={hosting.host} port={hosting.port} dbname={pair.database} "
            f"{role}max_db_connections={plan.whole(most.name)}"
        )


def _planned(plan: Plan) -> Iterator[Line]:
    for name in (
        "default_pool_size",
        "reserve_pool_size",
        "reserve_pool_timeout",
        "max_client_conn",
        "query_wait_timeout",
        "idle_transaction_timeout",
        "client_idle_timeout",
        "server_idle_timeout",
    ):
        number = plan[name]
        yield name, str(plan.whole(name)), number.how


def _fixed() -> Iterator[Line]:
    """Give what is the same for every plan (FACTS 6)."""
    yield "pool_mode", "transaction", "a session is shared at every end of a transaction"
    yield "auth_type", "scram-sha-256", "no password crosses the network"
    yield "max_prepared_statements", "200", "named statements of other drivers keep working"
    yield "server_login_retry", "1", "a server that was full or failing over is tried again soon"
    yield "dns_max_ttl", "5", "a failover is a change of the name's address"
    yield "listen_backlog", "4096", "a thousand environments start within seconds"
    yield "tcp_keepidle", "60", "NLB forgets a silent connection after 350 s"
    yield "ignore_startup_parameters", "extra_float_digits, options", "other drivers send them"
    yield "log_connections", "0", "a line for each environment would drown the others"
    yield "log_disconnections", "0", "as above"


def _hosted(hosting: Hosting) -> Iterator[Line]:
    yield "listen_addr", hosting.listen_host, "the task's own security group decides who may"
    yield "listen_port", str(hosting.listen_port), "where the load balancer looks"
    yield "auth_file", f"{hosting.directory}/userlist.txt", "made at the start, from the secrets"
    if hosting.admin is None:
        yield "admin_users", "", "the console answers on the socket alone, to this account alone"
    else:
        yield "admin_users", hosting.admin, "as given: who may use the console over TCP"
    yield "unix_socket_mode", "0700", "for this account alone"
    if hosting.server_ca is None:
        yield "server_tls_sslmode", "disable", "as given: the server is on a network of its own"
    else:
        yield "server_tls_sslmode", "verify-full", "the default, prefer, verifies nothing"
        yield "server_tls_ca_file", hosting.server_ca, "the authority's bundle"
    if hosting.client_certificate is not None and hosting.client_key is not None:
        yield "client_tls_sslmode", "require", "plaintext is refused"
        yield "client_tls_cert_file", hosting.client_certificate, "what clients verify"
        yield "client_tls_key_file", hosting.client_key, "and its key"
    else:
        yield "client_tls_sslmode", "disable", "as given: clients are on a network of their own"


def _of_the_process(plan: Plan, hosting: Hosting, process: int) -> Iterator[Line]:
    if plan.deployment.middle.processes > 1:
        yield "so_reuseport", "1", "the processes share the port; every limit here is for one"
        yield "peer_id", str(process), "which of the processes this is"
    yield "unix_socket_dir", hosting.sockets_of(process), "its own: health check, console, peers"
