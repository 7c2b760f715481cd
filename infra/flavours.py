"""Flavours: what stands between the functions and the database, and the access that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aws_cdk import CustomResource
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from broker.errors import UsageError
from broker.plan import Plan
from broker.plan.deployment import Flavour

from .access import PORT, Access, Grant, Tasks, read_secret
from .cap_table import CapTable, cap_environment
from .certificate import make_certificate
from .database import Database
from .iam_login import connect_as
from .image import make_image
from .layer import RDS_CA_IN_FUNCTION
from .network import Network
from .options import Options
from .pooler import Pooler, rendered
from .provisioner import Provisioner
from .proxy import Proxy
from .record import Record
from .roller import Roller
from .secrets import logins


@dataclass(frozen=True)
class Parts:
    """What every flavour is made from. `secrets` are the server's users'; none with IAM."""

    network: Network
    database: Database
    plan: Plan
    options: Options
    secrets: Mapping[str, secretsmanager.ISecret]
    provisioner: Provisioner
    roles: CustomResource
    ca: str


def make_access(scope: Construct, parts: Parts) -> Access:
    """Make what the flavour needs, and return how functions get through it."""
    make: dict[Flavour, Callable[[Construct, Parts], Access]] = {
        Flavour.PGBOUNCER: _pooled,
        Flavour.RDS_PROXY: _proxied,
        Flavour.DIRECT: _direct,
    }
    return make[parts.plan.deployment.middle.flavour](scope, parts)


def _pooled(scope: Construct, parts: Parts) -> Access:
    pooler = Pooler(scope, "Pooler", network=parts.network, plan=parts.plan)
    parts.database.connections.allow_from(
        pooler.group, ec2.Port.tcp(parts.database.port), "The poolers"
    )
    certificate = make_certificate(
        scope,
        parts.options,
        parts.provisioner,
        pooler.balancer.load_balancer_dns_name,
    )
    if parts.options.certificate_host is not None and parts.options.certificate_record:
        vpc, name = parts.network.vpc, parts.options.certificate_host
        Record(scope, "Name", vpc=vpc, name=name, balancer=pooler.balancer)
    middle = parts.plan.deployment.middle
    clients = _client_logins(scope, parts)
    of_roles = _numbered("PGBOUNCER_SERVER_SECRET", parts.secrets)
    others = {
        **_numbered("PGBOUNCER_CLIENT_SECRET", clients if middle.has_client_names else {}),
        "PGBOUNCER_CERTIFICATE": certificate.secret,
    }
    service = pooler.run(
        make_image(pooler, parts.options.image, parts.ca),
        rendered(parts.plan, parts.database.host, parts.database.port),
        {**of_roles, **others},
    )
    service.node.add_dependency(parts.roles, certificate.ready)
    Roller(
        scope,
        "Roller",
        service=service,
        provisioner=parts.provisioner.function,
        of_roles=list(of_roles.values()),
        others=list(others.values()),
    )
    return Access(
        host=certificate.host,
        port=PORT,
        group=pooler.balancer.group,
        grant=read_secret(clients),
        tls_ca=certificate.ca,
        users={pair.user: middle.client(pair) for pair in middle.pairs},
        secrets=clients,
        tasks=Tasks(
            pooler.balancer.healthy_tasks, service.cluster.cluster_name, service.service_name
        ),
    )


def _client_logins(scope: Construct, parts: Parts) -> dict[str, secretsmanager.ISecret]:
    """Return by the server's user the secret that clients show at the pooler."""
    middle = parts.plan.deployment.middle
    if not middle.has_client_names:
        return dict(parts.secrets)
    names = {pair.user: middle.client(pair) for pair in middle.pairs}
    made = logins(scope, "Client", names.values(), "At the pooler")
    return {user: made[name] for user, name in names.items()}


def _numbered(
    name: str, secrets: Mapping[str, secretsmanager.ISecret]
) -> dict[str, secretsmanager.ISecret]:
    ordered = (secrets[user] for user in sorted(secrets))
    return {f"{name}_{number}": secret for number, secret in enumerate(ordered, 1)}


def _proxied(scope: Construct, parts: Parts) -> Access:
    proxy = Proxy(
        scope,
        "Proxy",
        network=parts.network,
        database=parts.database,
        plan=parts.plan,
        auth=parts.options.auth,
        secrets=parts.secrets,
    )
    proxy.node.add_dependency(parts.roles)
    return proxy.access()


def _direct(scope: Construct, parts: Parts) -> Access:
    table = CapTable(scope, "Leases")
    login = server_login(scope, parts.database, parts.secrets)

    def grant(grantee: iam.IGrantable, user: str) -> object:
        table.allow(grantee)
        return login(grantee, user)

    return Access(
        host=parts.database.host,
        port=parts.database.port,
        group=parts.database.connections,
        grant=grant,
        tls_ca=RDS_CA_IN_FUNCTION,
        reader_host=parts.database.reader_host,
        secrets=parts.secrets,
        extra=cap_environment(parts.plan, table),
    )


def server_login(
    scope: Construct, database: Database, secrets: Mapping[str, secretsmanager.ISecret]
) -> Grant:
    """Return a grant that lets a function log in at the server itself, as one of its users."""
    if secrets:
        return read_secret(secrets)
    if database.resource_id is None:
        raise UsageError("IAM needs the database's resource id: give Database(resource_id=…)")
    return connect_as(scope, database.resource_id)
