"""Refusal: we did not get in. What that means, who would, and what to do. Pure."""

from __future__ import annotations

from broker.errors import BrokerError
from broker.observe.access import Access, classify, server_fields
from broker.observe.finding import Finding, Kind, identifier
from broker.observe.pooler import Pooler
from broker.observe.words import count
from broker.settings import Settings

_RESERVED = (
    "Only a superuser still gets in, or from PostgreSQL 16 on a role that has "
    "pg_use_reserved_connections, where reserved_connections is above 0: run the doctor as one."
)
_REMEDIES = {
    Access.FULL: "Nobody gets in before a session ends, not even a superuser. Stop or throttle "
    "what connects (a function's reserved concurrency 0 stops it), and run the doctor again.",
    Access.RESERVED: _RESERVED,
    Access.ROLE_FULL: "Another role still gets in: run the doctor as one that has pg_monitor. "
    "Superusers have no such limit.",
    Access.DATABASE_FULL: "Another database of this server still lets you in: name it in the DSN. "
    "Superusers have no such limit.",
    Access.POOLER_FULL: "Give the doctor PostgreSQL's own address, and the pooler's console with "
    "--pgbouncer: it then says which of the two is full.",
    Access.POOLER_HAS_NO_SERVER: "Give the doctor PostgreSQL's own address: it then says why the "
    "pooler cannot log in there.",
    Access.BEHIND: "Give the doctor PostgreSQL's own address: it then says what is full there.",
    Access.CONSOLE: "Give PostgreSQL's DSN, and this one after --pgbouncer.",
    Access.REFUSED: "This is ECONNREFUSED, not 53300: nothing is full. Check host and port, that "
    "the server runs and listens on that address, and the security groups.",
    Access.TIMED_OUT: "Check the security groups, the route to the subnet, and that the host is "
    "up. A full server answers at once. A PgBouncer that cannot reach its server is silent as "
    "well, for server_login_retry: ask its console with --pgbouncer.",
    Access.UNREACHABLE: "Check the route to the subnet: a VPN or peering is down, or missing.",
    Access.UNRESOLVED: "Check the spelling, and that this machine asks the DNS that knows the "
    "name: a private endpoint is known inside of its VPC alone.",
    Access.TLS: "Point sslrootcert at the authority's certificate (RDS: its global bundle), and "
    "use the name that is in the server's; sslmode=disable is plaintext, by name.",
    Access.AUTHENTICATION: "Check the user and the password, whether the secret was rotated, and "
    "pg_hba.conf. The server had a place for you, so it is not full.",
    Access.STARTING: "Wait for it: a start or a failover takes seconds to minutes.",
    Access.NO_DATABASE: "Name a database that is there; postgres nearly always is.",
    Access.NOT_ALLOWED: "Have it granted, or name a database that the role may connect to.",
    Access.NOT_POSTGRESQL: "Check the port: this is something else.",
    Access.HUNG_UP: "A load balancer without a healthy target does this, and so does a server "
    "that dies. Check the port, the targets' health and the server's log.",
    Access.OTHER: "The server's log says more.",
}


def refused(error: BrokerError, settings: Settings, pooler: Pooler | None = None) -> Finding:
    """Return the finding that a session could not be opened, or ended before it told anything."""
    access = classify(error)
    fields = server_fields(error)
    said = fields.get("M", "").strip()
    sqlstate = fields.get("C") or error.sqlstate
    where = f"{settings.host}:{settings.port}"
    evidence = [f"it said: {said} [SQLSTATE {sqlstate}]" if said else f"what was seen: {error}"]
    if access in (Access.FULL, Access.RESERVED, Access.ROLE_FULL, Access.DATABASE_FULL):
        evidence.append(f"tried for {settings.timeout_s:g} s: no place came free for long enough")
    if pooler is not None:
        held, waiting = len(pooler.server_pids), sum(p.clients_waiting for p in pooler.pools)
        evidence.append(
            f"PgBouncer holds {count(held, 'session')} of the {pooler.may_open} that it may, and "
            f"has {count(pooler.clients, 'client')}, {waiting} of them waiting"
        )
    return Finding(
        Kind.REFUSED,
        f"{where} did not let {settings.user} in on {settings.database}: {access.value}.",
        tuple(evidence),
        _REMEDIES[access],
        _apply(access, settings),
    )


def _apply(access: Access, settings: Settings) -> tuple[str, ...]:
    role, database = identifier(settings.user), identifier(settings.database)
    return {
        Access.RESERVED: (f"grant pg_use_reserved_connections to {role};",),
        Access.NOT_ALLOWED: (f"grant connect on database {database} to {role};",),
        Access.ROLE_FULL: (f"alter role {role} connection limit -1;",),
        Access.DATABASE_FULL: (f"alter database {database} connection limit -1;",),
    }.get(access, ())
