"""Services: what of AWS is called from inside the VPC, by the names of its endpoints."""

from __future__ import annotations

from broker.plan.deployment import Flavour

GATEWAYS = ("s3", "dynamodb")
"""Those with a gateway endpoint: free, and a route of each route table."""
NEEDED = {
    Flavour.DIRECT: ("s3", "dynamodb", "secretsmanager"),
    Flavour.RDS_PROXY: ("s3", "secretsmanager"),
    Flavour.PGBOUNCER: ("s3", "secretsmanager", "ecr.api", "ecr.dkr", "logs"),
}
"""S3 takes the provisioner's answer to CloudFormation, and has the layers of images; secrets are
read by all; leases are in DynamoDB; a task's image is in ECR, and its logs go to CloudWatch."""


def interfaces(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that have an interface endpoint: with a price, and an address in each subnet."""
    return tuple(name for name in names if name not in GATEWAYS)


def gateways(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that have a gateway endpoint."""
    return tuple(name for name in names if name in GATEWAYS)
