"""A function behind PgBouncer on Fargate, in front of a new database."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from broker.plan import read
from examples.findings import acknowledge_logs, acknowledge_port
from infra import ConnectionBroker, plain_refusals  # broker_infra, where the package is installed

HERE = Path(__file__).parent


class Orders(Stack):
    """VPC, database, broker, function."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=1,
            restrict_default_security_group=False,
            flow_logs={"All": ec2.FlowLogOptions()},
        )
        database = rds.DatabaseInstance(
            self,
            "Database",
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9),
            instance_type=ec2.InstanceType("t4g.medium"),
            vpc=vpc,
            multi_az=True,
            storage_encrypted=True,
            manage_master_user_password=True,
            deletion_protection=True,
        )
        broker = ConnectionBroker(
            self,
            "Broker",
            database=database,
            vpc=vpc,
            deployment=read(HERE / "broker.toml"),
        )
        orders = lambda_.Function(
            self,
            "orders",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="orders.handler",
            code=lambda_.Code.from_asset(str(HERE / "functions")),
        )
        broker.connect(orders)
        acknowledge_logs(orders)
        acknowledge_port(database)
        CfnOutput(self, "FunctionName", value=orders.function_name)


with plain_refusals():
    app = App()
    Orders(app, "Orders")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
