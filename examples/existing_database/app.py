"""A function behind PgBouncer on Fargate, in front of a database that is there already."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from broker.plan import read
from examples.findings import acknowledge_logs
from infra import ConnectionBroker, ExistingDatabase, import_database, plain_refusals

HERE = Path(__file__).parent
DATABASE = ExistingDatabase(
    identifier="orders",
    endpoint="orders.abc123.eu-west-1.rds.amazonaws.com",
    port=5432,
    security_group="sg-0123456789abcdef0",
    secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-orders-AbCdEf",
)


class Orders(Stack):
    """Broker and function, in the database's VPC: its subnets have a way to AWS' services."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id="vpc-0123456789abcdef0",
            availability_zones=["eu-west-1a", "eu-west-1b"],
            private_subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            private_subnet_route_table_ids=["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"],
        )
        broker = ConnectionBroker(
            self,
            "Broker",
            database=import_database(self, DATABASE, aurora=False),
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
        CfnOutput(self, "FunctionName", value=orders.function_name)


with plain_refusals():
    app = App()
    Orders(app, "Orders")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
