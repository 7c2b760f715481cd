"""CapTable: the leases of the fleet's sessions, where nothing in between caps them."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from broker.plan import Plan
from broker.plan.deployment import Kind

from .acknowledge import acknowledge

ACTIONS = (
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:Query",
)
"""What broker/cap asks of it (docs/cap.md)."""


class CapTable(dynamodb.Table):
    """One row for each session that may be open. Its keys are broker/cap/table.py's."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(
            scope,
            id,
            partition_key=dynamodb.Attribute(name="shard", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="slot", type=dynamodb.AttributeType.NUMBER),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            time_to_live_attribute="delete_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            self,
            "AwsSolutions-DDB3",
            "A lease lives for minutes; one from a backup would hold a slot for nobody.",
        )

    def allow(self, grantee: iam.IGrantable) -> None:
        """Let a function take, renew and give back leases."""
        self.grant(grantee, *ACTIONS)


def cap(plan: Plan) -> int:
    """Return the cap: the plan's, or else all that its functions hold at the worst moment."""
    if "cap" in plan:
        return plan.whole("cap")
    functions = (each for each in plan.deployment.applications if each.kind is Kind.FUNCTION)
    return sum(plan.whole(f"held.{each.name}") for each in functions)


def cap_environment(plan: Plan, table: CapTable) -> dict[str, str]:
    """Return the variables of the cap."""
    found = {"BROKER_CAP": str(cap(plan)), "BROKER_CAP_TABLE": table.table_name}
    if "cap_lease" in plan:
        found["BROKER_CAP_LEASE_S"] = str(plan.whole("cap_lease"))
    return found
