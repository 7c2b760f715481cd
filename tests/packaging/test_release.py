"""What `make dist` hands out: one version everywhere, and no licence that is unknown."""

from __future__ import annotations

import json
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import licences
import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template
from licences import extras, needed
from release import OLDEST, SBOM_MAKER, listing, sbom, zip_layer
from wheels import ROOT

import broker
from infra.layer import DRIVER, POWERTOOLS, Layer
from infra.options import BUNDLED

PERMITTED = {"Apache-2.0", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"}
"""What may run on Lambda with a user's code, and asks for no more than its notice."""
OF_OUR_TOOLS = ("bench", "dev")  # the extras that only this repository's own work installs


def test_the_version_is_in_one_place(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "broker/__init__.py"
    assert wheel.name.split("-")[1] == broker.__version__
    assert metadata.version("lambda-pg-broker") == broker.__version__
    assert "version" not in json.loads((ROOT / "package.json").read_text())


def test_the_deployed_layer_says_its_version() -> None:
    stack = Stack(App(context={"aws:cdk:bundling-stacks": []}), "S")
    Layer(stack, "Layer", powertools=BUNDLED, ca="")
    told = Match.string_like_regexp(rf"^lambda-pg-broker {broker.__version__} ")
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::LayerVersion", {"Description": told}
    )


def test_what_runs_on_lambda_has_a_permitted_licence() -> None:
    on_lambda = needed()
    assert {*DRIVER, *POWERTOOLS, "boto3"} <= set(on_lambda)
    for name, distribution in on_lambda.items():
        told = licences.licences(distribution)
        assert told, f"{name} does not say its licence"
        assert set(told) <= PERMITTED, (name, told)


def test_the_licences_of_every_extra_are_known() -> None:
    assert set(OF_OUR_TOOLS) < set(extras())
    unknown = {
        (extra, name)
        for extra in extras()
        for name, distribution in needed(extra).items()
        if not licences.licences(distribution)
    }
    assert not unknown


@pytest.mark.parametrize("extra", sorted(set(extras()) - set(OF_OUR_TOOLS)))
def test_no_extra_that_users_install_brings_a_licence_of_the_gpl_s_family(extra: str) -> None:
    told = {name: licences.licences(each) for name, each in needed(extra).items()}
    assert not {name: each for name, each in told.items() if "GPL" in " ".join(each)}


def test_a_package_that_does_not_say_its_licence_is_seen(tmp_path: Path) -> None:
    about = tmp_path / "silent-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: silent\nVersion: 1\n")
    silent = metadata.Distribution.at(about)
    assert licences.licences(silent) == ()
    assert licences.table({"silent": silent}).split() == ["silent", "1", "unknown"]


def test_the_sbom_has_what_the_wheel_brings_at_the_version_installed(
    clean: Path, tmp_path: Path
) -> None:
    assert SBOM_MAKER.exists(), "make .setup/release.stamp makes it"
    made = json.loads(sbom(clean, tmp_path).read_bytes())
    assert made["bomFormat"] == "CycloneDX"
    root = made["metadata"]["component"]
    assert (root["name"], root["version"]) == ("lambda-pg-broker", broker.__version__)
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in made["components"]}
    assert found == {name: each.version for name, each in needed().items()}


def test_the_layer_s_listing_has_every_package_of_it_and_the_zip_no_times_of_day(
    tmp_path: Path,
) -> None:
    archive = zip_layer(tmp_path)
    lines = [line.split() for line in listing(archive).splitlines()]
    tops = {line[0] for line in lines if ".dist-info" not in line[0]}
    libraries = {"asn1crypto", "aws_lambda_powertools", "dateutil", "jmespath", "pg8000", "scramp"}
    modules = {"six.py", "typing_extensions.py"}
    assert tops == {*libraries, *modules, "broker", "broker/rds-ca.pem", "all", "zipped"}
    with zipfile.ZipFile(archive) as opened:
        assert {entry.date_time for entry in opened.infolist()} == {OLDEST}
