"""Database: the server that the broker stands in front of, new or existing, instance or cluster."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from broker.errors import UsageError
from broker.plan import Plan
from broker.plan.deployment import Engine

from .acknowledge import acknowledge
from .database_settings import DEFAULT_VERSION, ExistingDatabase, NewDatabase
from .network import Network
from .parameters import parameters

PORT = 5432
ADMINISTRATOR = "postgres"


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
    def of(cls, database: Database | rds.DatabaseInstance | rds.DatabaseCluster) -> Database:
        """Return the value for a database of the CDK's, made in the same app."""
        if isinstance(database, Database):
            return database
        if database.secret is None:
            raise UsageError(
                f"{database.node.path} has no secret of its administrator: give it "
                "manage_master_user_password=True, or name the secret with Database(…)"
            )
        if isinstance(database, rds.DatabaseCluster):
            return cls(
                host=database.cluster_endpoint.hostname,
                port=PORT,
                admin_secret=database.secret,
                connections=database.connections,
                proxy_target=rds.ProxyTarget.from_cluster(database),
                ready=_servers(database),
                reader_host=database.cluster_read_endpoint.hostname,
                resource_id=database.cluster_resource_identifier,
            )
        return cls(
            host=database.db_instance_endpoint_address,
            port=PORT,
            admin_secret=database.secret,
            connections=database.connections,
            proxy_target=rds.ProxyTarget.from_instance(database),
            ready=_servers(database),
            resource_id=database.instance_resource_id,
        )


def _servers(database: Construct) -> tuple[IDependable, ...]:
    """Return the servers alone: in the L2's tree are also its clients' rules, which wait for us."""
    kinds = (rds.CfnDBInstance, rds.CfnDBCluster)
    return tuple(each for each in database.node.find_all() if isinstance(each, kinds))


def make_database(
    scope: Construct, settings: NewDatabase | ExistingDatabase, plan: Plan, network: Network
) -> Database:
    """Make the database, or import the one that is there.

    A new one is retained, and so is what it cannot be without: its groups, and the VPC.
    """
    aurora = plan.deployment.database.engine is Engine.AURORA
    if isinstance(settings, ExistingDatabase):
        return _existing(scope, settings, aurora=aurora)
    made = (_cluster if aurora else _instance)(scope, settings, plan, network)
    acknowledge(
        made,
        "AwsSolutions-RDS11",
        "5432 is no secret: security groups and roles keep others out, and tools find it there.",
    )
    if not settings.multi_az:
        acknowledge(made, "AwsSolutions-RDS3", "broker.toml says so: deploy.database.multi_az.")
    for each in made.node.find_all():
        if isinstance(each, (rds.CfnDBParameterGroup, rds.CfnDBClusterParameterGroup)):
            each.apply_removal_policy(RemovalPolicy.RETAIN)
    return Database.of(made)


def _group(scope: Construct, network: Network) -> ec2.SecurityGroup:
    group = ec2.SecurityGroup(
        scope,
        "DatabaseGroup",
        vpc=network.vpc,
        description="The database: who may connect is in its rules",
        allow_all_outbound=False,
    )
    group.apply_removal_policy(RemovalPolicy.RETAIN)
    return group


def _instance(
    scope: Construct, settings: NewDatabase, plan: Plan, network: Network
) -> rds.DatabaseInstance:
    version = rds.PostgresEngineVersion.of(settings.version, settings.major)
    return rds.DatabaseInstance(
        scope,
        "Database",
        engine=rds.DatabaseInstanceEngine.postgres(version=version),
        instance_type=_type(plan),
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[_group(scope, network)],
        port=PORT,
        publicly_accessible=False,
        multi_az=settings.multi_az,
        allocated_storage=settings.storage_gib,
        storage_type=rds.StorageType.GP3,
        storage_encrypted=True,
        credentials=rds.Credentials.from_username(ADMINISTRATOR),
        manage_master_user_password=True,
        iam_authentication=True,
        parameters=parameters(plan, settings.major),
        backup_retention=Duration.days(settings.backup_days),
        copy_tags_to_snapshot=True,
        delete_automated_backups=False,
        cloudwatch_logs_exports=["postgresql"],
        deletion_protection=True,
        removal_policy=RemovalPolicy.RETAIN,
        auto_minor_version_upgrade=True,
    )


def _type(plan: Plan) -> ec2.InstanceType:
    name = plan.deployment.database.instance or ""
    return ec2.InstanceType(name.removeprefix("db."))


def _cluster(
    scope: Construct, settings: NewDatabase, plan: Plan, network: Network
) -> rds.DatabaseCluster:
    database = plan.deployment.database
    version = rds.AuroraPostgresEngineVersion.of(settings.version, settings.major)

    def member(name: str) -> rds.IClusterInstance:
        if database.acu is None:
            return rds.ClusterInstance.provisioned(
                name, instance_type=_type(plan), publicly_accessible=False
            )
        # A reader that is as large as the writer can take its place.
        scale = None if name == "Writer" else True
        return rds.ClusterInstance.serverless_v2(
            name, publicly_accessible=False, scale_with_writer=scale
        )

    return rds.DatabaseCluster(
        scope,
        "Database",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=version),
        writer=member("Writer"),
        readers=[member(f"Reader{number + 1}") for number in range(settings.readers)],
        serverless_v2_min_capacity=database.min_acu,
        serverless_v2_max_capacity=database.acu,
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[_group(scope, network)],
        port=PORT,
        storage_encrypted=True,
        credentials=rds.Credentials.from_username(ADMINISTRATOR),
        manage_master_user_password=True,
        iam_authentication=True,
        parameters=parameters(plan, settings.major),
        backup=rds.BackupProps(retention=Duration.days(settings.backup_days)),
        copy_tags_to_snapshot=True,
        delete_automated_backups=False,
        cloudwatch_logs_exports=["postgresql"],
        deletion_protection=True,
        removal_policy=RemovalPolicy.RETAIN,
    )


def _existing(scope: Construct, settings: ExistingDatabase, *, aurora: bool) -> Database:
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
