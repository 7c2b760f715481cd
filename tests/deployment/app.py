"""The app of infra/, with a user's two functions on its broker: what the tests deploy.

Context beside infra's own: `-c broken=1` adds a resource that cannot be made, after all others.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, CustomResource
from aws_cdk import aws_lambda as lambda_

from infra.acknowledge import acknowledge
from infra.app import build
from infra.stack import BrokerStack
from tests.deployment.variant import FUNCTIONS

CODE = Path(__file__).with_name("functions")
BASIC = "service-role/AWSLambdaBasicExecutionRole"


def main() -> None:
    """Synthesize."""
    app = App()
    stack = build(app, Path.cwd())
    for name in FUNCTIONS:
        _connect(stack, name)
    if app.node.try_get_context("broken"):
        _break(stack)
    app.synth()


def _connect(stack: BrokerStack, name: str) -> None:
    fn = lambda_.Function(
        stack,
        name,
        runtime=lambda_.Runtime.PYTHON_3_14,
        architecture=lambda_.Architecture.ARM_64,
        handler="answering.handler",
        code=lambda_.Code.from_asset(str(CODE), exclude=["__pycache__"]),
        memory_size=256,
    )
    policy = f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{BASIC}]"
    acknowledge(fn, policy, "What the CDK gives every function.")
    stack.broker.connect(fn)
    CfnOutput(stack, f"{name}Function", value=fn.function_name)


def _break(stack: BrokerStack) -> None:
    """Ask the provisioner for what it refuses, when all the rest has been changed."""
    provisioner = stack.broker.node.find_child("Provisioner").node.find_child("Function")
    assert isinstance(provisioner, lambda_.Function)
    refused = CustomResource(
        stack,
        "Broken",
        service_token=provisioner.function_arn,
        resource_type="Custom::BrokerCertificate",
        properties={"SecretArn": "", "CaSecretArn": "", "Names": ["not a name"]},
    )
    refused.node.add_dependency(stack.broker, *map(stack.node.find_child, FUNCTIONS))


if __name__ == "__main__":
    main()
