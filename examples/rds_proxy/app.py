"""A queue's function behind RDS Proxy with IAM, in front of a new Aurora cluster."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Duration, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from broker.plan import read
from examples.findings import acknowledge_logs, acknowledge_port
from infra import Auth, ConnectionBroker, Options, plain_refusals

HERE = Path(__file__).parent


class Orders(Stack):
    """VPC, cluster, broker, queue, function."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        deployment = read(HERE / "broker.toml")
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=1,
            restrict_default_security_group=False,
            flow_logs={"All": ec2.FlowLogOptions()},
        )
        database = rds.DatabaseCluster(
            self,
            "Database",
            engine=rds.DatabaseClusterEngine.aurora_postgres(
                version=rds.AuroraPostgresEngineVersion.VER_17_9
            ),
            writer=rds.ClusterInstance.serverless_v2("Writer"),
            readers=[rds.ClusterInstance.serverless_v2("Reader", scale_with_writer=True)],
            serverless_v2_min_capacity=deployment.database.min_acu,
            serverless_v2_max_capacity=deployment.database.acu,
            vpc=vpc,
            storage_encrypted=True,
            manage_master_user_password=True,
            iam_authentication=True,
            deletion_protection=True,
        )
        broker = ConnectionBroker(
            self,
            "Broker",
            database=database,
            vpc=vpc,
            deployment=deployment,
            options=Options(auth=Auth.IAM),
        )
        dead = sqs.Queue(self, "Dead", enforce_ssl=True)
        queue = sqs.Queue(
            self,
            "Queue",
            enforce_ssl=True,
            visibility_timeout=Duration.minutes(3),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=5),
        )
        orders = lambda_.Function(
            self,
            "orders",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="orders.handler",
            code=lambda_.Code.from_asset(str(HERE / "functions")),
        )
        broker.connect(orders, queue=queue)
        acknowledge_logs(orders)
        acknowledge_port(database)
        CfnOutput(self, "QueueUrl", value=queue.queue_url)


with plain_refusals():
    app = App()
    Orders(app, "Orders")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
