"""What others' rules say of the templates. cdk-nag's run in every synth, and fail it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import CASES, Synthesized, toml

ROOT = Path(__file__).parents[2]
CHECKOV = ROOT / ".setup/checkov/bin/checkov"
SKIPPED = re.compile(r"^  - (CKV\w+)\s+# \S.+", re.MULTILINE)

Synth = Callable[[str], Synthesized]


OWN = """
certificate_secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pooler-AbCdEf"
certificate_host = "pooler.example.internal"
"""
ENDPOINTS = """
endpoints = ["s3", "secretsmanager", "ecr.api", "ecr.dkr", "logs"]
route_tables = ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"]
cidr = "10.0.0.0/16"
"""


@pytest.fixture(scope="module")
def templates(
    synth: Synth,
    synthesize: Callable[..., Synthesized],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Put every case's template into one folder, and one with what is only made when asked for."""
    directory = tmp_path_factory.mktemp("templates")
    for case in CASES:
        template = next(synth(case).directory.glob("*.template.json"))
        shutil.copyfile(template, directory / f"{case}.json")
    asked_for = synthesize(toml(origin="existing", deploy=OWN, vpc=ENDPOINTS))
    template = next(asked_for.directory.glob("*.template.json"))
    shutil.copyfile(template, directory / "asked-for.json")
    return directory


def test_cfn_lint_finds_nothing(templates: Path) -> None:
    from cfnlint.api import lint
    from cfnlint.core import get_rules

    # W3005: the CDK writes dependencies that a GetAtt implies, too; they do no harm.
    rules = get_rules([], ["W3005"], ["W", "E"])
    found = [
        f"{path.stem}: {match}"
        for path in sorted(templates.glob("*.json"))
        for match in lint(path.read_text(), rules)
    ]
    assert not found


def test_checkov_finds_nothing_but_what_the_baseline_justifies(templates: Path) -> None:
    assert CHECKOV.exists(), "make .setup/checkov.stamp makes it"
    done = subprocess.run(
        [
            str(CHECKOV),
            "--directory",
            str(templates),
            "--config-file",
            str(ROOT / "tests/infra/checkov.yaml"),
            *("--output", "json", "--compact", "--quiet", "--skip-download"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=templates,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    failed = [
        f"{each['check_id']} {each['resource']}: {each['check_name']}"
        for each in result.get("results", {}).get("failed_checks", [])
    ]
    assert not failed
    assert result["summary"]["passed"] > 500
    assert result["summary"]["parsing_errors"] == 0


def test_every_skipped_check_has_its_reason() -> None:
    text = (ROOT / "tests/infra/checkov.yaml").read_text()
    assert len(SKIPPED.findall(text)) == text.count("- CKV")


def test_a_finding_of_cdk_nag_fails_the_synth(
    synthesize: Callable[..., Synthesized], monkeypatch: pytest.MonkeyPatch
) -> None:
    import infra.secrets

    monkeypatch.setattr(infra.secrets, "acknowledge", lambda *_: None)
    with pytest.raises(RuntimeError, match="AwsSolutions-SMG4"):
        synthesize(toml("direct", "existing", broker="cap = 100"))
