"""NewDatabase: the instance or cluster that the stack makes, and what it stands on."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct

from broker.plan import Plan
from broker.plan.deployment import Engine

from .acknowledge import acknowledge
from .database import PORT, Database, import_database
from .database_settings import ExistingDatabase, NewDatabase
from .network import Network
from .parameters import parameters

ADMINISTRATOR = "postgres"


def make_database(
    scope: Construct, settings: NewDatabase | ExistingDatabase, plan: Plan, network: Network
) -> Database:
    """Make the database, or import the one that is there.

    A new one is retained, and so is what it cannot be without: its groups, and the VPC.
    """
    aurora = plan.deployment.database.engine is Engine.AURORA
    if isinstance(settings, ExistingDatabase):
        return import_database(scope, settings, aurora=aurora)
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
