"""Database: the server that the broker stands in front of, new or existing, instance or cluster."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from broker.errors import UsageError

from .database_settings import DEFAULT_VERSION, ExistingDatabase

PORT = 5432
INSTANCES = (rds.DatabaseInstance, rds.DatabaseInstanceFromSnapshot)
CLUSTERS = (rds.DatabaseCluster, rds.DatabaseClusterFromSnapshot)
Made = (
    rds.DatabaseInstance
    | rds.DatabaseInstanceFromSnapshot
    | rds.DatabaseCluster
    | rds.DatabaseClusterFromSnapshot
)
ENGINES = ("postgres", "aurora-postgresql")


@dataclass(frozen=True)
class Database:
    """What the broker needs to know of a server. `ready` must be there before anybody connects."""

    host: str
    port: int
    admin_secret: secretsmanager.ISecret
    connections: ec2.Connections
    proxy_target: rds.ProxyTarget
    ready: tuple[IDependable, ...] = ()
    reader_host: str | None = None
    resource_id: str | None = None

    @classmethod
    def of(cls, database: Database | Made) -> Database:
        """Return the value for a database of the CDK's, made in the same app."""
        if isinstance(database, Database):
            return database
        _refuse_unusable(database)
        secret = database.secret
        if secret is None:
            raise UsageError(
                f"{database.node.path} has no secret of its administrator: give it "
                "manage_master_user_password=True, or name the secret with Database(…)"
            )
        if isinstance(database, CLUSTERS):
            has_readers = len(database.instance_identifiers) > 1
            return cls(
                host=database.cluster_endpoint.hostname,
                port=_port(database),
                admin_secret=secret,
                connections=database.connections,
                proxy_target=rds.ProxyTarget.from_cluster(database),
                ready=_servers(database),
                reader_host=database.cluster_read_endpoint.hostname if has_readers else None,
                resource_id=database.cluster_resource_identifier,
            )
        return cls(
            host=database.db_instance_endpoint_address,
            port=_port(database),
            admin_secret=secret,
            connections=database.connections,
            proxy_target=rds.ProxyTarget.from_instance(database),
            ready=_servers(database),
            resource_id=database.instance_resource_id,
        )


def _refuse_unusable(database: Made) -> None:
    """Raise UsageError for what says too little of itself, and for another engine."""
    path = database.node.path
    if not isinstance(database, (*INSTANCES, *CLUSTERS)):
        raise UsageError(
            f"{path} is imported, or a replica, and does not say all that the broker must know: "
            "use import_database(…, ExistingDatabase(…)), which has its endpoint, port, security "
            "group and administrator's secret"
        )
    engine = database.engine
    if engine is not None and engine.engine_type not in ENGINES:
        raise UsageError(
            f"{path} is {engine.engine_type}: the broker stands in front of PostgreSQL alone, RDS' "
            "or Aurora's"
        )


def _port(database: Made) -> int:
    """Return the port as a number, which security groups and pgbouncer.ini want at synth."""
    resource = database.node.default_child
    given = getattr(resource, "port", None)
    if Token.is_unresolved(given):
        raise UsageError(f"{database.node.path}: its port must be a number that is known at synth")
    return PORT if given is None else int(given)


def _servers(database: Construct) -> tuple[IDependable, ...]:
    """Return the servers alone: in the L2's tree are also its clients' rules, which wait for us."""
    kinds = (rds.CfnDBInstance, rds.CfnDBCluster)
    return tuple(each for each in database.node.find_all() if isinstance(each, kinds))


def import_database(scope: Construct, settings: ExistingDatabase, *, aurora: bool) -> Database:
    """Return the value for a database that is there, outside of the CDK."""
    group = ec2.SecurityGroup.from_security_group_id(
        scope, "DatabaseGroup", settings.security_group
    )
    secret = secretsmanager.Secret.from_secret_complete_arn(
        scope, "AdministratorSecret", settings.secret
    )
    return Database(
        host=settings.endpoint,
        port=settings.port,
        admin_secret=secret,
        connections=ec2.Connections(
            security_groups=[group], default_port=ec2.Port.tcp(settings.port)
        ),
        proxy_target=_imported(scope, settings, group, aurora=aurora),
        reader_host=settings.reader_endpoint,
        resource_id=settings.resource_id,
    )


def _imported(
    scope: Construct, settings: ExistingDatabase, group: ec2.ISecurityGroup, *, aurora: bool
) -> rds.ProxyTarget:
    """Import it for RDS Proxy, which wants its engine, port and security group (FACTS 7)."""
    major = DEFAULT_VERSION.partition(".")[0]  # the proxy asks for the family's name alone
    if aurora:
        cluster = rds.DatabaseCluster.from_database_cluster_attributes(
            scope,
            "Database",
            cluster_identifier=settings.identifier,
            engine=rds.DatabaseClusterEngine.aurora_postgres(
                version=rds.AuroraPostgresEngineVersion.of(DEFAULT_VERSION, major)
            ),
            port=settings.port,
            security_groups=[group],
            cluster_endpoint_address=settings.endpoint,
        )
        return rds.ProxyTarget.from_cluster(cluster)
    instance = rds.DatabaseInstance.from_database_instance_attributes(
        scope,
        "Database",
        instance_identifier=settings.identifier,
        instance_endpoint_address=settings.endpoint,
        port=settings.port,
        security_groups=[group],
        engine=rds.DatabaseInstanceEngine.postgres(
            version=rds.PostgresEngineVersion.of(DEFAULT_VERSION, major)
        ),
    )
    return rds.ProxyTarget.from_instance(instance)
