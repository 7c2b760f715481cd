"""What the examples' tests share: AWS's services as moto serves them, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from broker.aws_json import Refused
from broker.cap.dynamodb import DynamoDb, Unanswered
from broker.cap.table import SCHEMA
from broker.sigv4 import Keys
from tests.wait import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
REGION = "us-east-1"  # the local fleet's


@pytest.fixture(scope="session")
def aws() -> Iterator[Mapping[str, str]]:
    """Run DynamoDB, with a table `leases`, and S3; give the variables that lead there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            client = DynamoDb(REGION, url, lambda: Keys("a", "b"))
            client.call("CreateTable", {"TableName": "leases", **SCHEMA}, 5)
        except Unanswered:
            return False
        except Refused as refused:  # the answer to an earlier call was too late
            return refused.code == "ResourceInUseException"
        return True

    try:
        wait_until(up, "moto's server", timeout_s=120)
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }
    finally:
        server.kill()
        server.wait()


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
