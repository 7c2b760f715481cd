"""The Dockerfile is one that linters pass, and says what the task's definition counts on."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker.pgbouncer import Hosting
from tests.infra.image.dockerfile import CONTEXT, Dockerfile

dockerfile = Dockerfile.read()


def load_setup() -> object:
    """Import scripts/pgbouncer.py, under a name of its own."""
    path = CONTEXT.parents[1] / "scripts" / "pgbouncer.py"
    spec = importlib.util.spec_from_file_location("image_setup_pgbouncer", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_hadolint_has_nothing_to_say() -> None:
    command = [Path(sys.executable).with_name("hadolint"), CONTEXT / "Dockerfile"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_hadolint_would_say_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN apt-get install pgbouncer\n")
    command = [Path(sys.executable).with_name("hadolint"), tmp_path / "Dockerfile"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "DL3007" in ran.stdout


def test_it_is_debian_with_a_pgbouncer_that_has_its_fixes() -> None:
    assert dockerfile.only("FROM") == "debian:trixie-slim"
    pinned = dict(each.split("=", 1) for each in dockerfile.all("ARG"))
    setup = load_setup()
    assert setup.package_is_safe(pinned["PGBOUNCER_VERSION"])  # type: ignore[attr-defined]
    install = next(run for run in dockerfile.all("RUN") if "apt-get install" in run)
    assert 'pgbouncer="${PGBOUNCER_VERSION}"' in install
    assert 'python3="${PYTHON_VERSION}"' in install


def test_it_stops_with_sigint_as_somebody_without_rights_and_is_checked() -> None:
    assert dockerfile.only("STOPSIGNAL") == "SIGINT"
    assert dockerfile.user == (10001, 10001)
    assert dockerfile.entrypoint == ["/usr/local/bin/pgbouncer-task"]
    assert dockerfile.health == ["/usr/local/bin/pgbouncer-health"]
    assert dockerfile.only("EXPOSE") == str(Hosting().listen_port)
    names = [name for name, _ in dockerfile.instructions]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_the_volumes_are_where_the_rendered_files_are_and_belong_to_the_user() -> None:
    volumes = [Hosting().directory, Hosting().sockets]
    assert json.loads(dockerfile.only("VOLUME")) == volumes
    run = next(run for run in dockerfile.all("RUN") if "install --directory" in run)
    assert "--owner=10001 --group=10001 --mode=0700" in run
    assert run.partition("--mode=0700")[2].split()[:2] == volumes
    names = [name for name, _ in dockerfile.instructions]
    assert names.index("VOLUME") > names.index("RUN"), "what is done to it later is lost"


def test_what_is_laid_out_is_where_the_rendered_ini_looks(tmp_path: Path) -> None:
    dockerfile.lay_out(tmp_path, {"rds-ca.pem": "PEM"})
    ca = Hosting().server_ca
    assert ca is not None
    assert (tmp_path / ca.lstrip("/")).read_text() == "PEM"
    for command in (*dockerfile.entrypoint, *dockerfile.health):
        link = tmp_path / command.lstrip("/")
        target = tmp_path / str(link.readlink()).lstrip("/")
        assert target.stat().st_mode & 0o777 == 0o555
        assert (target.parent / "pooler" / "task.py").exists()


@pytest.mark.parametrize("path", sorted((CONTEXT / "pooler").glob("*.py")), ids=lambda p: p.name)
def test_what_runs_in_the_container_needs_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names, name
