"""What the examples' tests share: AWS's services as moto serves them, on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.dynamodb import dynamodb

EXAMPLES = Path(__file__).parents[2] / "examples"
REGION = "us-east-1"  # the local fleet's


@pytest.fixture(scope="session")
def aws() -> Iterator[Mapping[str, str]]:
    """Run DynamoDB, with a table `leases`, and S3; give the variables that lead there."""
    with dynamodb("leases", REGION) as url:
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }


@pytest.fixture
def capped(
    aws: Mapping[str, str], broker_database, request: pytest.FixtureRequest
) -> dict[str, str]:
    """Give the variables of a function that shares one session, direct, with all others of the
    test.
    """
    return {
        **aws,
        "BROKER_FLAVOUR": "direct",
        "BROKER_PORT": str(broker_database.server.postgres.port),
        "BROKER_CAP": "1",
        "BROKER_CAP_TABLE": "leases",
        "BROKER_CAP_NAME": request.node.name,
    }
