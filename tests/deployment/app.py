"""The app of infra/, with a user's two functions on its broker: what the tests deploy.

Context beside infra's own: `-c config=…` may name several broker.tomls, a stack each, with the
system's path separator between them; `-c broken=1` adds a resource that cannot be made to each,
after all others.
"""

from __future__ import annotations

import os
from pathlib import Path

from aws_cdk import App, CfnOutput, CustomResource, Validations
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks

from infra.acknowledge import acknowledge
from infra.settings import read_settings
from infra.stack import BrokerStack
from tests.deployment.variant import functions_of

CODE = Path(__file__).with_name("functions")
BASIC = "service-role/AWSLambdaBasicExecutionRole"


def main() -> None:
    """Synthesize."""
    app = App()
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    context = app.node.get_all_context()
    for config in str(context["config"]).split(os.pathsep):
        stack = BrokerStack(app, read_settings({**context, "config": config}, Path.cwd()))
        names = functions_of(stack.broker.plan)
        for name in names:
            _connect(stack, name)
        if "broken" in context:
            _break(stack, names)
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


def _break(stack: BrokerStack, names: list[str]) -> None:
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
    refused.node.add_dependency(stack.broker, *map(stack.node.find_child, names))


if __name__ == "__main__":
    main()
