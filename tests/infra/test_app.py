"""The app as the CDK's CLI runs it, the examples, and the package as others install it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Synthesized, toml

ROOT = Path(__file__).parents[2]
CDK = ROOT / "node_modules/.bin/cdk"
EXAMPLES = [path.parent.name for path in sorted((ROOT / "examples").glob("*/app.py"))]


def run_app(
    module: str, directory: Path, context: dict[str, Any], **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run an app as the CLI does: the context and the folder are in the environment."""
    out = directory / "out"
    given = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(out), **environ}
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_synthesizes_without_a_finding(
    example: str, tmp_path: Path, flags: dict[str, Any]
) -> None:
    done = run_app(f"examples.{example}.app", tmp_path, {**flags, "aws:cdk:bundling-stacks": []})
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    assert "WARNING" not in done.stderr
    template = json.loads((tmp_path / "out/Orders.template.json").read_text())
    (told,) = template["Outputs"].keys() & {"FunctionName", "QueueUrl"}
    assert told == ("QueueUrl" if example == "rds_proxy" else "FunctionName")


def test_the_real_cli_synthesizes_broker_toml_with_its_zips(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(CDK), "synth", "--quiet", "--output", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("asset.*/python/broker/__init__.py"))) == 1
    assert len(list(tmp_path.glob("asset.*/lambdas/provisioner/__init__.py"))) == 1
    assert len(list(tmp_path.glob("asset.*/lambdas/roller/__init__.py"))) == 1
    images = [path.parent for path in tmp_path.glob("asset.*/Dockerfile")]
    assert [(path / "rds-ca.pem").exists() for path in images] == [True]


@pytest.mark.parametrize(
    ("text", "context", "told"),
    [
        (toml(deploy='auth = "iam"'), {}, 'deploy.auth = "iam": PgBouncer knows no IAM'),
        (toml(), {"flavour": "x"}, "-c flavour=x: must be one of"),
        (toml(), {"rds_ca": "/nowhere.pem"}, "/nowhere.pem: No such file or directory"),
        (toml(broker="task_vcpu = 3"), {}, "broker.task_vcpu = 3: Fargate has"),
    ],
)
def test_bad_input_is_one_line_and_no_traceback(
    tmp_path: Path, flags: dict[str, Any], text: str, context: dict[str, str], told: str
) -> None:
    (tmp_path / "broker.toml").write_text(text)
    given = {**flags, "config": str(tmp_path / "broker.toml"), **context}
    done = run_app("infra.app", tmp_path, given)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert told in line


def test_a_shell_in_a_region_without_prices_is_told_so(
    synthesize: Callable[..., Synthesized], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-west-1")
    (line,) = [line for line in synthesize(toml()).told() if "prices" in line]
    assert line.startswith("aws:cdk:info: the plan's costs are at prices of us-east-1, and this")
    monkeypatch.setenv("CDK_DEFAULT_REGION", "us-east-1")
    assert not [line for line in synthesize(toml()).told() if "prices" in line]


def test_what_does_not_fit_is_told_in_the_plan_s_words(
    tmp_path: Path, flags: dict[str, Any]
) -> None:
    (tmp_path / "broker.toml").write_text(toml("direct").replace("= 50", "= 500"))
    done = run_app("infra.app", tmp_path, {**flags, "config": str(tmp_path / "broker.toml")})
    assert done.returncode == 1
    assert "does not fit:\n  - 1,050 sessions at the worst moment" in done.stderr
    assert "Any one of these would make it fit:" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_feature_flags_are_those_that_the_package_recommends(flags: dict[str, Any]) -> None:
    import aws_cdk

    (archive,) = (Path(aws_cdk.__file__).parent / "_jsii").glob("*.tgz")
    with tarfile.open(archive) as opened:
        found = opened.extractfile("package/recommended-feature-flags.json")
        assert found is not None
        assert flags == json.load(found)


CONSUMER = """
import sys
from pathlib import Path
from aws_cdk import App, Stack, aws_ec2 as ec2, aws_rds as rds
from dataclasses import replace
from broker.plan import read
from broker_infra import ConnectionBroker, read_options
import broker_infra
assert str(Path(broker_infra.__file__)).startswith(sys.argv[1]), broker_infra.__file__
app = App(context={"aws:cdk:bundling-stacks": []}, outdir=sys.argv[2])
stack = Stack(app, "Theirs")
vpc = ec2.Vpc(stack, "Vpc")
database = rds.DatabaseInstance(stack, "Db", vpc=vpc, engine=rds.DatabaseInstanceEngine.postgres(
    version=rds.PostgresEngineVersion.VER_17_9))
ConnectionBroker(stack, "Broker", database=database, vpc=vpc,
    deployment=read(sys.argv[3]), options=replace(read_options(sys.argv[3]), rds_ca=sys.argv[4]))
app.synth()
"""


def test_the_wheel_s_construct_works_elsewhere_under_a_name_of_its_own(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"broker", "broker_infra"}
    assert not list(site.rglob("*.pyc"))
    (tmp_path / "broker.toml").write_text(toml())
    (tmp_path / "ca.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    )
    given = [site, tmp_path / "out", tmp_path / "broker.toml", tmp_path / "ca.pem"]
    done = subprocess.run(
        [sys.executable, "-c", CONSUMER, *map(str, given)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/Theirs.template.json").exists()
