"""Setup takes no PgBouncer with known holes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "pgbouncer.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_pgbouncer", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


setup: Any = load()


@pytest.mark.parametrize(
    "version",
    [
        "1.24.1-1+deb13u2",
        "1.24.1-1+deb13u10",
        "1.25.2-1.pgdg12+1",
        "1.25.2",
        "2:1.26.0-1",
        "1.25.10-1",
    ],
)
def test_a_package_with_the_fixes_is_taken(version: str) -> None:
    assert setup.package_is_safe(version)


@pytest.mark.parametrize(
    "version",
    [
        "1.18.0-1+deb12u1",
        "1.24.1-1",
        "1.24.1-1+deb13u1",
        "1.24.1-2",  # sorts higher than deb13u2, has none of its patches
        "1.25.0-1",
        "1.25.1-1.pgdg13+1",
        "1.24.1-1ubuntu2",
        "?",
    ],
)
def test_a_package_without_the_fixes_is_refused(version: str) -> None:
    assert not setup.package_is_safe(version)


def test_the_mirrors_are_the_ones_that_the_machines_apt_uses() -> None:
    listing = (
        "Debian|Debian|http://mirror.example/debian/\n"
        "Debian|Debian|http://mirror.example/debian/\n"
        "Debian|Debian-Security|http://mirror.example/security/\n"
        "Docker|Docker CE|http://docker.example/\n"
    )
    main, security = setup.source_lines(lambda *_: listing)
    assert main.startswith("deb-src [signed-by=")
    assert main.endswith("] http://mirror.example/debian/ trixie main")
    assert security.endswith("] http://mirror.example/security/ trixie-security main")


def test_a_machine_without_a_debian_mirror_is_told_so() -> None:
    with pytest.raises(setup.SetupError, match="no Debian mirror"):
        setup.source_lines(lambda *_: "Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n")


def source_package(folder: Path, version: str, orig: bytes) -> Path:
    (folder / "pgbouncer.dsc").write_text(f"Format: 3.0 (quilt)\nVersion: {version}\n")
    (folder / "pgbouncer_1.24.1.orig.tar.gz").write_bytes(orig)
    return folder


def test_a_tarball_that_is_not_the_known_one_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match="wrong sha256"):
        setup.verified_version(source_package(tmp_path, "1.24.1-1+deb13u2", b"something else"))


def test_an_old_source_package_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match="too old"):
        setup.verified_version(source_package(tmp_path, "1.24.1-1", b""))


def test_a_tree_with_a_patch_missing_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "debian" / "patches").mkdir(parents=True)
    (tmp_path / ".pc").mkdir()
    (tmp_path / "debian" / "patches" / "series").write_text("# ours\none.patch\ntwo.patch -p1\n")
    (tmp_path / ".pc" / "applied-patches").write_text("one.patch\n")
    with pytest.raises(setup.SetupError, match=r"two\.patch"):
        setup.assert_patched(tmp_path)
    (tmp_path / ".pc" / "applied-patches").write_text("one.patch\ntwo.patch\n")
    setup.assert_patched(tmp_path)


def test_the_error_starts_with_what_to_do() -> None:
    error = setup.SetupError("needs libevent-dev", remedy="sudo apt-get install libevent-dev")
    text = setup.explain({"on PATH": setup.SetupError("none"), "source": error})
    first, *rest = text.splitlines()
    assert "Run `sudo apt-get install libevent-dev`, or install PgBouncer 1.25.2" in first
    assert "  - source: needs libevent-dev" in rest
    assert "No usable PgBouncer. Install" in setup.explain({"on PATH": setup.SetupError("none")})
