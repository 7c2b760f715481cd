"""Stacks, synthesized once each: `synth(case)` for every test of it."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from broker.plan import Plan, make_plan, parse

ROOT = Path(__file__).parents[2]
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # jsii wants its Node

FLAVOURS = ("direct", "pgbouncer", "rds-proxy")
KINDS = ("instance", "cluster")
ORIGINS = ("new", "existing")
CASES = [
    "-".join(case) for case in itertools.product(["direct", "pgbouncer", "proxy"], ORIGINS, KINDS)
]
DATABASES = {
    "instance": 'engine = "rds-postgresql"\ninstance = "db.m7g.large"\nmax_connections = 400\n',
    "cluster": 'engine = "aurora-postgresql"\ninstance = "serverless"\nmax_acu = 8\nmin_acu = 1\n',
}
BROKER = {"direct": "cap = 100", "pgbouncer": "", "rds-proxy": "proxy_minimum_percent = 10"}
TWO_PAIRS = 'pairs = ["appdb/app", "reports/reader"]'
TWO_USERS = """
[[functions]]
name = "orders"
concurrency = 10
pair = "appdb/app"

[[functions]]
name = "reports"
concurrency = 10
pair = "reports/reader"
"""
FUNCTIONS = """
[[functions]]
name = "orders"
concurrency = 50
rate = "100 /s"
mean = "5 ms"
timeout = "30 s"

[[functions]]
name = "reports"
concurrency = 20
timeout = "60 s"
"""
EXISTING = """
[deploy.vpc]
id = "vpc-0123456789abcdef0"
availability_zones = ["eu-west-1a", "eu-west-1b"]
subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
{vpc}

[deploy.database]
kind = "{kind}"
identifier = "orders"
endpoint = "orders.abc.eu-west-1.rds.amazonaws.com"
{reader}
port = 5433
security_group = "sg-0123456789abcdef0"
secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf"
resource_id = "db-ABCDEFGHIJKL"
"""


def toml(
    flavour: str = "pgbouncer",
    origin: str = "new",
    kind: str = "instance",
    *,
    broker: str = "",
    deploy: str = "",
    functions: str = FUNCTIONS,
    vpc: str = "",
) -> str:
    """Return a broker.toml; `vpc` goes into the [deploy.vpc] of an existing one."""
    existing = ""
    if origin == "existing":
        reader = 'reader_endpoint = "orders-ro.abc.eu-west-1.rds.amazonaws.com"'
        existing = EXISTING.format(kind=kind, reader=reader if kind == "cluster" else "", vpc=vpc)
    return (
        f'[database]\n{DATABASES[kind]}\n[broker]\nflavour = "{flavour}"\n{broker}\n{functions}\n'
        f"[deploy]\n{deploy}\n{existing}"
    )


def own_toml(*given: str, **more: str) -> str:
    """Return one for an app of one's own, which says itself what [deploy] says."""
    return toml(*given, **more).partition("[deploy]")[0]


@dataclass(frozen=True)
class Synthesized:
    """What a synth left: the template, and the assembly's manifest."""

    directory: Path
    stack: Any

    @cached_property
    def template(self) -> dict[str, Any]:
        found = next(self.directory.glob("*.template.json"))
        return dict(json.loads(found.read_text()))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.directory / "manifest.json").read_text()))

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the resources of a type, by logical id."""
        resources = self.template["Resources"]
        return {name: each for name, each in resources.items() if each["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        """Return the properties of each resource of a type."""
        return [each.get("Properties", {}) for each in self.all(kind).values()]

    def told(self) -> list[str]:
        """Return what the CDK's CLI prints of it: annotations, as "aws:cdk:info: …"."""
        artifacts = self.manifest["artifacts"].values()
        metadata = [each for artifact in artifacts for each in _metadata(self.directory, artifact)]
        return [f"{each['type']}: {each['data']}" for each in metadata]

    def one(self, kind: str) -> dict[str, Any]:
        """Return the properties of the only resource of a type."""
        (found,) = self.properties(kind)
        return found


def _metadata(directory: Path, artifact: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an artifact's entries, which are in a file of their own."""
    found = artifact.get("metadata", {})
    if "additionalMetadataFile" in artifact:
        found = json.loads((directory / artifact["additionalMetadataFile"]).read_text())
    return [entry for entries in found.values() for entry in entries]


Context = Mapping[str, Any]


@pytest.fixture(scope="session")
def flags() -> dict[str, Any]:
    """Return cdk.json's feature flags."""
    return dict(json.loads((ROOT / "cdk.json").read_text())["context"])


@pytest.fixture(scope="session")
def synthesize(
    flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Synthesized]:
    """Synthesize a broker.toml as the app does, without the zips' contents.

    Functions of the names in `connect` use its broker, each with a role of its own.
    """
    from aws_cdk import App  # late: it starts Node
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_

    from infra.app import build

    def use(stack: Any, name: str) -> None:
        role = iam.Role(
            stack, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")
        )
        fn = lambda_.Function(
            stack,
            name,
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context): pass"),
            role=role,
        )
        stack.broker.connect(fn)

    def synthesize(text: str, *, connect: Sequence[str] = (), **context: Any) -> Synthesized:
        directory = tmp_path_factory.mktemp("app")
        (directory / "broker.toml").write_text(text)
        given = {
            **flags,
            "aws:cdk:bundling-stacks": [],
            "config": str(directory / "broker.toml"),
            **context,
        }
        app = App(context=given, outdir=str(directory / "out"))
        stack = build(app, directory)
        for name in connect:
            use(stack, name)
        app.synth()
        return Synthesized(directory / "out", stack)

    return synthesize


@pytest.fixture(scope="session")
def synth(synthesize: Callable[..., Synthesized]) -> Callable[[str], Synthesized]:
    """Synthesize a case, once: "pgbouncer-new-instance"."""
    known: dict[str, Synthesized] = {}

    def find(case: str) -> Synthesized:
        if case not in known:
            flavour, origin, kind = case.split("-")
            flavour = {"proxy": "rds-proxy"}.get(flavour, flavour)
            known[case] = synthesize(toml(flavour, origin, kind, broker=BROKER[flavour]))
        return known[case]

    return find


@pytest.fixture(scope="session")
def planned() -> Callable[[str], Plan]:
    """Plan a broker.toml, without Node."""
    return lambda text: make_plan(parse(text))
